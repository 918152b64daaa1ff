"""``invoke verify``; what EC2, the nodes and the pool say is put in its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annexkit import annexes, ssh, tags
from annexkit.console import Console
from annexkit.errors import AnnexkitError, Exit, UsageError
from annexkit.flows import bake_plan
from annexkit.flows import verify_annex as flow
from annexkit.flows.site import Site
from annexkit.flows.verify_nodes import Access, NodeResult, VerifyError
from annexkit.instances import Instance
from annexkit.pool.collector import Slot
from annexkit.pool.target import Pool, PoolError
from annexkit.settings import Settings
from annexkit.verify.checks import Check, NodeReport
from tests.unit.helpers import BUILD, REGION
from tests.unit.verify.test_pool_side import POOL, slot

LAUNCH = "0123456789ab"
IDS = [f"i-{n:017x}" for n in range(3)]


def node(name: str, **said: Any) -> Instance:
    found = {
        tags.ANNEX: "grid",
        tags.LAUNCH: LAUNCH,
        tags.EXPIRES: "1700003600",
        tags.FROM_BUILD: BUILD,
        tags.IMAGE: "debian13",
    }
    values = {"state": "running", "tags": found, "public_ip": "192.0.2.1"}
    return Instance(name, REGION, **values | said)


def report(name: str, **failing: str) -> NodeReport:
    checks = [
        Check(name=n, ok=n not in failing, detail=failing.get(n, "fine"), seconds=0.1)
        for n in ("clock", "disk")
    ]
    return NodeReport(name=name, checks=tuple(checks), identity={}, boot_seconds=1.0)


class World:
    """What the nodes and the pool say; change it before :meth:`verify`."""

    def __init__(self, site: Site, patch: pytest.MonkeyPatch) -> None:
        self.site = site
        self.nodes = [node(name) for name in IDS]
        self.results = {name: NodeResult(name, "ok", report(name)) for name in IDS}
        self.slots: list[Slot] | PoolError = [slot(instance_id=name) for name in IDS]
        self.access: list[Access] = []
        patch.setattr(annexes, "find", self.find)
        patch.setattr(flow, "verify_nodes", self.over_ssh)
        patch.setattr(flow, "expectation", lambda _: None)
        patch.setattr(flow, "region_of", lambda _, given: given or REGION)
        patch.setattr(Pool, "of", lambda _: POOL)
        patch.setattr(flow, "Collector", self.collector)

    @property
    def folder(self) -> annexes.AnnexFolder:
        return annexes.folder(self.site.state, "grid")

    def find(self, cloud: object, region: str, name: str) -> annexes.Annex:
        mine = [n for n in self.nodes if n.tags[tags.ANNEX] == name]
        return annexes.Annex(name, region, tuple(mine))

    def over_ssh(
        self,
        site: Site,
        region: str,
        nodes: list[Instance],
        access: Access,
        *_: Any,
        **options: Any,
    ) -> list[NodeResult]:
        self.access.append(access)
        for one in nodes:
            options["on_done"](self.results[one.id])
        return [self.results[one.id] for one in nodes]

    def collector(self, pool: Pool) -> Any:
        world = self

        class Asked:
            def slots(self, annex: str) -> list[Slot]:
                assert annex == "grid"
                if isinstance(world.slots, PoolError):
                    raise world.slots
                return world.slots

        return Asked()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    settings = Settings.model_validate({"state_dir": "state"})
    site = Site(settings, tmp_path, Console(as_json=True))
    site.cloud = None  # type: ignore[assignment]
    found = World(site, monkeypatch)
    found.folder.path.mkdir(parents=True)
    ssh.new_key(found.folder.key)
    launch = {
        "id": LAUNCH,
        "created": 1.0,
        "image": "debian13",
        "build": BUILD,
        "ami": "ami-1",
        "ssh_user": "admin",
        "wanted": 3,
        "expires": 2.0,
        "idle": 900,
        "method": "idtokens",
    }
    record = {
        "name": "grid",
        "account": "1",
        "endpoint": "aws",
        "region": REGION,
        "owner": "alice",
        "launches": [launch],
    }
    found.folder.write(annexes.Record.model_validate(record))
    return found


def verify(world: World, capsys: pytest.CaptureFixture[str]) -> tuple[Exit, Any, str]:
    code = flow.verify_annex(world.site, "grid")
    said = capsys.readouterr()
    return code, json.loads(said.out), said.err


def test_a_good_annex_passes_every_check_on_both_sides(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    code, data, _ = verify(world, capsys)
    assert code is Exit.DONE
    assert [n["id"] for n in data["nodes"]] == IDS
    names = [c["name"] for c in data["nodes"][0]["checks"]]
    assert names[:4] == ["ssh", "clock", "disk", "in-pool"]
    (access,) = world.access
    assert access.user == "admin"
    assert access.known_hosts == world.folder.known_hosts


def test_a_failed_check_fails_it_and_says_on_which_node(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = IDS[1]
    world.results[bad] = NodeResult(bad, "ok", report(bad, disk="full"))
    code, _, err = verify(world, capsys)
    assert code is Exit.FAILED
    assert f"invoke why {bad} --region {REGION}" in err


def test_a_node_that_ssh_does_not_reach_is_partly_checked(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    error = VerifyError("no public_ip", where=IDS[0], mend="ssh.interface")
    world.results[IDS[0]] = NodeResult(IDS[0], "not checked", error=error)
    code, data, err = verify(world, capsys)
    assert code is Exit.PARTLY
    assert data["nodes"][0]["ssh"] == "not checked"
    assert "no public_ip" in err


def test_without_the_key_the_collector_alone_is_asked(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.folder.key.unlink()
    code, data, err = verify(world, capsys)
    assert code is Exit.PARTLY
    assert world.access == []
    assert {c["name"] for c in data["nodes"][0]["checks"]} >= {"in-pool"}
    assert "launch.key_file" in err


def test_a_key_that_others_may_read_is_refused(world: World) -> None:
    world.folder.key.chmod(0o644)
    with pytest.raises(UsageError, match="0644"):
        flow.verify_annex(world.site, "grid")


def test_a_pool_that_cannot_be_asked_is_partly_checked(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.slots = PoolError("the collector: no answer", mend="let it through")
    code, data, _ = verify(world, capsys)
    assert code is Exit.PARTLY
    assert "no answer" in data["not_checked"][0]


def test_a_node_that_is_not_in_the_pool_fails(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.slots = [slot(instance_id=name) for name in IDS[:2]]
    code, data, _ = verify(world, capsys)
    assert code is Exit.FAILED
    assert data["nodes"][2]["checks"][-1]["name"] == "in-pool"


def test_an_annex_that_is_not_there_is_an_error(world: World) -> None:
    with pytest.raises(AnnexkitError, match="annex 'grids' has no nodes") as caught:
        flow.verify_annex(world.site, "grids")
    assert "invoke launch --annex-name grids" in caught.value.mend


def test_a_lost_record_is_made_up_for_by_the_image(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (world.folder.path / "record.json").unlink()

    class Recipe:
        ssh_user = "debian"

    monkeypatch.setattr(bake_plan, "read_image", lambda *_: Recipe)
    code, _, _ = verify(world, capsys)
    assert code is Exit.DONE
    assert [a.user for a in world.access] == ["debian"]


def test_the_table_has_a_row_for_each_check() -> None:
    def checks(ok: bool) -> list[Check]:
        detail = "fine" if ok else "full"
        return [Check(name="disk", ok=ok, detail=detail, seconds=0.1)]

    five = {f"i-{n}": checks(False) for n in range(5)}
    found = flow.rows({"i-9": checks(True), **five})
    assert found == [("disk", 1, 5, "i-0, i-1, i-2 and 2 more", "full")]
    assert flow.rows({"i-9": checks(True)}) == [("disk", 1, 0, "", "fine")]

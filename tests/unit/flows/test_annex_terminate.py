"""The end of an annex: all of it, nothing of any other, and as often as asked."""

from __future__ import annotations

import fnmatch
import io
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from annexkit import annexes, tags
from annexkit.aws import AwsError, Cloud
from annexkit.console import Console
from annexkit.errors import Exit, Interrupted, UsageError
from annexkit.flows.annex_terminate import TerminateRequest, terminate
from annexkit.flows.site import Site
from annexkit.instances import as_tags
from annexkit.journal import this_process
from annexkit.launch import parameter, schedule
from annexkit.settings import Settings
from annexkit.stopping import Stop
from tests.unit.flows.annex import (
    HOUR,
    LAUNCH,
    FakePool,
    a_slot,
    arm,
    ends,
    launch,
    living,
    recorded,
    secret,
    with_pool,
)
from tests.unit.flows.conftest import ALIVE, GONE
from tests.unit.helpers import ACCOUNT, REGION, FakeClock, an_entry

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def pool(site: Site, monkeypatch: pytest.MonkeyPatch) -> FakePool:
    return with_pool(site, monkeypatch)


def end(site: Site, name: str = "grid", **asked: Any) -> Exit:
    return terminate(site, TerminateRequest(name, **({"yes": True} | asked)))


def test_all_that_belongs_to_it_goes_without_a_state_folder(
    site: Site, pool: FakePool
) -> None:
    ids = launch(site, count=3)
    arm(site, ids, site.clock.time() + HOUR)
    secret(site)
    assert end(site) == Exit.DONE
    assert living(site) == []
    assert schedule.names(site.cloud, REGION) == []
    assert parameter.listed(site.cloud, REGION) == []
    assert site.journal.entries() == []


def test_key_and_record_go_and_the_receipt_stays(site: Site, pool: FakePool) -> None:
    launch(site)
    recorded(site)
    folder = annexes.folder(site.state, "grid")
    folder.key.write_text("key")
    assert end(site) == Exit.DONE
    assert [path.name for path in folder.path.iterdir()] == ["receipt.json"]
    said = json.loads(folder.receipt.read_text())
    assert (said["running"], said["total"]["nodes"]) == (0, 2)


def test_a_second_run_says_that_nothing_is_there(
    site: Site, pool: FakePool, capsys: Captured
) -> None:
    launch(site)
    end(site)
    capsys.readouterr()
    assert end(site) == Exit.DONE
    assert f"there is no annex 'grid' in {REGION}" in capsys.readouterr().out


def test_the_annex_whose_name_begins_alike_stays_whole(
    site: Site, pool: FakePool
) -> None:
    launch(site, "foo")
    other = launch(site, "foobar", launch_id="ba9876543210")
    kept = secret(site, "foobar", "ba9876543210")
    arm(site, other, site.clock.time() + HOUR, "ba9876543210")
    assert end(site, "foo") == Exit.DONE
    assert living(site, "foobar") == other
    assert [one.name for one in parameter.listed(site.cloud, REGION)] == [kept]
    assert schedule.names(site.cloud, REGION) == [f"ba9876543210-{o}" for o in other]


@pytest.mark.parametrize("name", ["*", "gri?", "grid*", "", "gr id", "a" * 28, "a_b"])
def test_what_is_no_name_is_refused_before_any_call(site: Site, name: str) -> None:
    with pytest.raises(UsageError, match="no annex's name"):
        end(site, name)
    assert not site.cloud.calls


def test_nobody_to_ask_and_nothing_ends(
    site: Site, pool: FakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = launch(site)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(UsageError, match="nobody is here") as caught:
        end(site, yes=False)
    assert caught.value.mend == "invoke terminate --annex-name grid --yes"
    assert living(site) == ids


@pytest.mark.parametrize(("answer", "left"), [("y", 0), ("n", 2), ("", 2)])
def test_a_person_is_asked(
    site: Site, pool: FakePool, monkeypatch: pytest.MonkeyPatch, answer: str, left: int
) -> None:
    launch(site)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    assert end(site, yes=False) == Exit.DONE
    assert len(living(site)) == left


def test_a_launch_that_still_runs_is_ended_first(site: Site, pool: FakePool) -> None:
    ids = launch(site)
    other = ALIVE.model_copy(update={"pid": 1, "start_time": start_of(1)})
    entry = an_entry(other, kind="launch", launch=LAUNCH, annex="grid", build="")
    site.journal.write(entry)
    with pytest.raises(UsageError, match=r"at work on this annex \(pid 1\)"):
        end(site)
    assert living(site) == ids


def start_of(pid: int) -> int:
    from annexkit import processes

    return processes.start_time(pid) or 0


def test_one_that_resists_is_told_and_the_others_end(
    site: Site, pool: FakePool, capsys: Captured
) -> None:
    stubborn, other = launch(site)
    site.cloud.call(
        REGION,
        "modify_instance_attribute",
        InstanceId=stubborn,
        DisableApiTermination={"Value": True},
    )
    site.console = Console(as_json=True)
    assert end(site) == Exit.PARTLY
    assert living(site) == [stubborn]
    said = json.loads(capsys.readouterr().out)
    assert (said["terminated"], list(said["problems"])) == ([other], [stubborn])
    # Killed or not: what resists stays known to the reaper.
    assert [entry.launch for entry in site.journal.entries()] == [LAUNCH]


def test_interrupted_it_prints_the_command_that_does_the_rest(
    site: Site, pool: FakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch(site)

    def stop(*_: object) -> None:
        raise Stop("SIGINT")

    with monkeypatch.context() as patch:
        patch.setattr("annexkit.instances.terminate", stop)
        with pytest.raises(Interrupted) as caught:
            end(site, regions=[REGION], drain=False)
    command = f"invoke terminate --annex-name grid --region {REGION} --yes"
    assert caught.value.mend == command
    assert len(site.journal.entries()) == 1
    assert end(site) == Exit.DONE
    assert (living(site), site.journal.entries()) == ([], [])


def test_a_drain_ends_the_lease_and_waits_until_no_job_is_left(
    site: Site, pool: FakePool, clock: FakeClock
) -> None:
    ids = launch(site, expires_in=10 * HOUR)
    arm(site, ids, site.clock.time() + 10 * HOUR)
    began, leases = clock.time(), []

    def slots() -> list[Any]:
        leases.append(ends(site))
        state = "Claimed" if clock.time() < began + 300 else "Unclaimed"
        return [a_slot(one, state=state) for one in ids]

    pool.slots = slots
    assert end(site, drain=True) == Exit.DONE
    assert set(leases[1].values()) == {began + 60 + 600}
    assert 300 <= clock.time() - began < 320
    assert living(site) == []


def test_a_drain_without_a_pool_to_ask_takes_its_time_and_no_more(
    site: Site, pool: FakePool, clock: FakeClock
) -> None:
    launch(site, expires_in=10 * HOUR)
    pool.down = True
    began = clock.time()
    assert end(site, drain=True) == Exit.DONE
    assert 660 <= clock.time() - began < 680
    assert living(site) == []


def test_a_drain_never_lengthens_the_lease(
    site: Site, pool: FakePool, clock: FakeClock
) -> None:
    launch(site, expires_in=120)
    pool.down = True
    began = clock.time()
    end(site, drain=True)
    assert clock.time() - began <= 140


def test_entries_of_dead_launches_of_it_are_struck(site: Site, pool: FakePool) -> None:
    launch(site)
    known = {"kind": "launch", "launch": LAUNCH, "build": "", "deadline": 1.0}
    site.journal.write(an_entry(GONE, id="mine", annex="grid", **known))
    site.journal.write(an_entry(GONE, id="other", annex="gridiron", **known))
    end(site)
    assert [entry.id for entry in site.journal.entries()] == ["other"]


class FakeEc2:
    """EC2's instances, found as EC2 finds them: with wildcards in a filter's value."""

    account, endpoint = ACCOUNT, "aws"

    def __init__(self, names: list[str]) -> None:
        self.nodes: list[dict[str, Any]] = [
            {
                "InstanceId": f"i-{number:017x}",
                "State": {"Name": "running"},
                "Tags": as_tags({tags.ANNEX: name, tags.LAUNCH: f"{number:012x}"}),
            }
            for number, name in enumerate(names)
        ]

    def check_regions(self, _: object) -> None: ...

    def pages(
        self, region: str, method: str, key: str, *, Filters: list[dict[str, Any]]
    ) -> Iterator[dict[str, Any]]:
        assert (method, key) == ("describe_instances", "Reservations")
        wanted = {one["Name"]: one["Values"] for one in Filters}
        for node in self.nodes:
            own = {tag["Key"]: tag["Value"] for tag in node["Tags"]}
            names = wanted.get(f"tag:{tags.ANNEX}", ["*"])
            states = wanted.get("instance-state-name", ["*"])
            if any(fnmatch.fnmatchcase(own[tags.ANNEX], name) for name in names) and (
                "*" in states or node["State"]["Name"] in states
            ):
                yield {"Instances": [node]}

    def call(self, region: str, method: str, **arguments: Any) -> dict[str, Any]:
        if method == "terminate_instances":
            for node in self.nodes:
                if node["InstanceId"] in arguments["InstanceIds"]:
                    node["State"] = {"Name": "terminated"}
        elif method not in {"describe_parameters", "list_schedules"}:
            raise AwsError(method, code="Unexpected", action=method, region=region)
        return {}


NAMES = st.text("ab-*?[]", min_size=1, max_size=4)


@settings(max_examples=60)
@given(names=st.lists(NAMES, max_size=8), chosen=st.text("ab-", min_size=1, max_size=3))
@example(names=["foo", "foobar", "*", "f?o", "fo"], chosen="foo")
def test_ending_one_never_touches_another(names: list[str], chosen: str) -> None:
    fake = FakeEc2(names)
    with tempfile.TemporaryDirectory() as folder:
        site = Site(
            Settings.model_validate({"state_dir": "state"}),
            Path(folder),
            clock=FakeClock(),
        )
        site.cloud = cast(Cloud, fake)
        assert end(site, chosen, regions=[REGION]) == Exit.DONE
    left = [
        name
        for name, node in zip(names, fake.nodes, strict=True)
        if node["State"]["Name"] == "running"
    ]
    assert left == [name for name in names if name != chosen]
    assert this_process().alive

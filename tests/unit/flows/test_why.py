"""``invoke why``: what is gathered from whom, and what is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annexkit import annexes, instances, ssh, tags
from annexkit.aws import AwsError
from annexkit.console import Console
from annexkit.errors import Exit, UsageError
from annexkit.flows import why as flow
from annexkit.flows.site import Site
from annexkit.instances import Instance
from annexkit.pool.collector import Ad, Slot
from annexkit.pool.target import Pool, PoolError
from annexkit.settings import Settings
from annexkit.verify import facts
from annexkit.verify.hostkeys import KnownHosts
from tests.unit.helpers import REGION, FakeClock
from tests.unit.ssh.keys import host_key
from tests.unit.verify.test_funnel import CONSOLE, GOOD, ID
from tests.unit.verify.test_pool_side import POOL, slot


class Login:
    """A connection that closes; what is asked over it is put in its place."""

    def __enter__(self) -> Login:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class World:
    """What EC2, the node and the pool say; change it before :meth:`why`."""

    def __init__(self, site: Site, patch: pytest.MonkeyPatch) -> None:
        self.site = site
        self.found = [
            Instance(
                ID,
                REGION,
                "running",
                public_ip="192.0.2.1",
                launched=site.clock.time() - 60,
                tags={tags.ANNEX: "grid", tags.LAUNCH: "0123456789ab"},
            )
        ]
        self.console: str | AwsError = CONSOLE
        self.login: ssh.SshError | None = None
        self.slots: list[Slot] | PoolError = [slot(instance_id=ID), slot(name="other")]
        self.connected: list[dict[str, Any]] = []
        patch.setattr(instances, "find", lambda *_: self.found)
        patch.setattr(instances, "console_text", self.text)
        patch.setattr(ssh, "connect", self.connect)
        self.facts: facts.Facts = GOOD.model_copy(update={"now": site.clock.time()})
        patch.setattr(facts, "gather", lambda *_: self.facts)
        patch.setattr(flow, "region_of", lambda _, given: given or REGION)
        patch.setattr(flow, "users", lambda *_: {"admin": []})
        patch.setattr(Pool, "of", lambda _: POOL)
        patch.setattr(flow, "Collector", lambda _: Asked(self))

    def text(self, *_: object) -> str:
        found: str = raised(self.console)
        return found

    def connect(self, address: str, **options: Any) -> Login:
        self.connected.append({"address": address, **options})
        if self.login:
            raise self.login
        return Login()


class Asked:
    """The collector of a world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def slots(self, annex: str, launch: str) -> list[Slot]:
        assert (annex, launch) == ("grid", "0123456789ab")
        found: list[Slot] = raised(self.world.slots)
        return found

    def masters(self, annex: str, launch: str) -> list[Ad]:
        return []


def raised(said: Any) -> Any:
    if isinstance(said, Exception):
        raise said
    return said


@pytest.fixture
def world(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> World:
    settings = Settings.model_validate({"state_dir": "state"})
    site = Site(settings, tmp_path, Console(as_json=True), clock)
    site.cloud = None  # type: ignore[assignment]
    found = World(site, monkeypatch)
    ssh.new_key(annexes.folder(site.state, "grid").key)
    return found


Why = Callable[[], tuple[Exit, dict[str, Any]]]


@pytest.fixture
def why(world: World, capsys: pytest.CaptureFixture[str]) -> Why:
    def ask() -> tuple[Exit, dict[str, Any]]:
        code = flow.why(world.site, ID)
        return code, json.loads(capsys.readouterr().out)

    return ask


def states(data: dict[str, Any]) -> dict[str, str]:
    return {step["name"]: step["state"] for step in data["steps"]}


def test_a_node_in_the_pool_has_nothing_to_mend(world: World, why: Why) -> None:
    code, data = why()
    assert code is Exit.DONE
    assert set(states(data).values()) == {"ok"}
    assert data["broken"] is None
    (login,) = world.connected
    assert login["address"] == "192.0.2.1"
    assert login["name"] == ID
    assert [k.line for k in login["host_keys"]] == [host_key().line]


def test_pins_are_believed_before_the_console(world: World, why: Why) -> None:
    other = ssh.HostKey.of(ssh.new_key().pkey, "pin")
    folder = annexes.folder(world.site.state, "grid")
    KnownHosts(folder.known_hosts).pin({ID: [other]})
    why()
    (login,) = world.connected
    assert [k.line for k in login["host_keys"]] == [other.line]


def test_an_unknown_instance_is_the_first_broken_step(world: World, why: Why) -> None:
    world.found = []
    code, data = why()
    assert code is Exit.FAILED
    assert data["broken"] == "exists"
    assert world.connected == []


def test_an_ended_instance_is_not_asked_anything(world: World, why: Why) -> None:
    world.found = [Instance(ID, REGION, "terminated", reason="Client.UserInitiated")]
    code, data = why()
    assert (code, data["broken"]) == (Exit.FAILED, "running")
    assert world.connected == []


def test_a_failed_login_is_shown_with_its_mend(world: World, why: Why) -> None:
    world.slots = []
    world.login = ssh.SshError("another host", mend="do not connect")
    code, data = why()
    assert (code, data["broken"]) == (Exit.FAILED, "SSH")
    assert data["mend"] == "do not connect"


def test_without_the_key_a_node_in_the_pool_is_still_judged(
    world: World, why: Why
) -> None:
    annexes.folder(world.site.state, "grid").key.unlink()
    code, data = why()
    assert code is Exit.PARTLY
    assert "key is not here" in data["steps"][4]["detail"]
    assert world.connected == []
    assert states(data)["authenticated"] == "ok"


def test_without_host_keys_no_connection_is_made(world: World, why: Why) -> None:
    denied = "UnauthorizedOperation"
    world.console = AwsError("no", code=denied, action="x", region=REGION)
    _, data = why()
    assert world.connected == []
    assert states(data)["console keys"] == "broken"


def test_a_pool_that_cannot_be_asked_leaves_steps_open(world: World, why: Why) -> None:
    world.slots = PoolError("the collector: no answer")
    code, data = why()
    assert code is Exit.PARTLY
    assert states(data)["authenticated"] == "not checked"
    assert states(data)["collector reachable"] == "ok"


@pytest.mark.parametrize("given", ["", "grid", "i-xyz", "ami-0123456789abcdef0"])
def test_what_is_no_instance_id_is_refused(world: World, given: str) -> None:
    with pytest.raises(UsageError, match="is no instance id"):
        flow.why(world.site, given)

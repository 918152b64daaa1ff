"""The watch: the node's end follows the tag, and a spot notice stops new jobs."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.unit.provision.conftest import Machine
from tests.unit.provision.metadata_stub import Behaviour, serving
from tests.unit.provision.node import load
from tests.unit.provision.test_contract_annexkit import CONFIG, annex
from tests.unit.provision.test_pool_mode import POOL, SECRET

annex_file = load("annex_file")
watch = load("watch")
lease = load("lease")
pool_secret = load("pool_secret")

TAG = "meta-data/tags/instance/annexkit:expires"
NOW = int(time.time())
MOVED = [
    "systemctl daemon-reload",
    "systemctl restart annexkit-lease.timer",
    "systemctl is-active --quiet annexkit-deadline.timer",
    "systemctl restart annexkit-deadline.timer",
    "systemctl is-active --quiet condor.service",
    "systemctl reload condor.service",
]


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let now be the test's, not the one of an hour ago when it was collected."""
    monkeypatch.setitem(globals(), "NOW", int(time.time()))


@pytest.fixture
def watching(
    machine: Machine, behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """A watch on a node of a pool, whose lease ends in an hour."""
    machine.fake("systemctl")
    monkeypatch.setenv("PATH", machine.environment()["PATH"])
    monkeypatch.setattr(watch, "ROOT", str(machine.root))
    monkeypatch.setattr(watch, "CONFIG", machine.root / CONFIG[1:])
    monkeypatch.setattr(watch, "REMEMBERED", machine.root / "var/lib/annexkit/lease")
    monkeypatch.setattr(pool_secret, "fetch", lambda annex: b"a.longer.token\n")
    data = annex(
        mode="pool",
        lease_expires=NOW + 3600,
        drain_seconds=600,
        lease_poll_seconds=60,
        pool=POOL,
        secret=SECRET,
    )
    with serving(behaviour) as service:
        monkeypatch.setenv("ANNEXKIT_IMDS", service.url)
        monkeypatch.setenv("ANNEXKIT_IMDS_PATIENCE", "0.5")
        yield watch.Watch(annex_file.checked(json.loads(data)))


def tag(behaviour: Behaviour, expires: int) -> None:
    behaviour.values[TAG] = str(expires).encode()


def read(root: Path, path: str) -> str:
    return (root / path).read_text()


def test_while_the_lease_stays_nothing_is_touched(
    watching: Any, machine: Machine, behaviour: Behaviour
) -> None:
    tag(behaviour, NOW + 3600)
    watching.look()
    assert machine.calls == []
    assert not list(machine.root.rglob("*.config"))


@pytest.mark.parametrize("tags", ["none", "no number", "no service"])
def test_without_a_tag_the_lease_stays_as_it_is(
    watching: Any, machine: Machine, behaviour: Behaviour, tags: str
) -> None:
    if tags == "no number":
        behaviour.values[TAG] = b"tomorrow"
    if tags == "no service":
        behaviour.status = 503
    watching.look()
    assert machine.calls == []
    assert watching.expires == NOW + 3600


@pytest.mark.parametrize("later", [7200, -1800])
def test_both_timers_and_the_ads_follow_the_lease(
    watching: Any, machine: Machine, behaviour: Behaviour, later: int
) -> None:
    expires = NOW + 3600 + later
    tag(behaviour, expires)
    watching.look()
    assert machine.calls == MOVED
    end = f"OnCalendar={lease.calendar_time(expires)}"
    assert end in machine.read("/etc/systemd/system/annexkit-lease.timer")
    folder = "/run/systemd/system/annexkit-deadline.timer.d"
    moved = machine.read(f"{folder}/50-annexkit-lease.conf")
    [left] = re.findall(r"OnActiveSec=\nOnActiveSec=(\d+)\n", moved)
    # By the kernel's own clock, from now on: not by the wall clock as the other one.
    assert abs(time.time() + int(left) - (expires + lease.BEHIND)) < 30
    config = machine.read(f"{CONFIG}/51-annex-lease.config")
    assert f"AnnexLeaseExpires = {expires}\nAnnexDrainAt = {expires - 600}\n" in config
    assert machine.read("/var/lib/annexkit/lease") == f"{expires}\n"
    watching.look()
    assert machine.calls == MOVED


def test_on_probation_it_looks_often_until_the_lease_comes(
    watching: Any, machine: Machine, behaviour: Behaviour
) -> None:
    watching.annex = dataclasses.replace(watching.annex, probation=True)
    tag(behaviour, NOW + 3600)
    watching.look()
    assert watching.pause == watch.PROBATION_SECONDS
    tag(behaviour, NOW + 7200)
    watching.look()
    assert watching.pause == 60
    assert "AnnexLeased = True" in machine.read(f"{CONFIG}/51-annex-lease.config")


def test_a_longer_lease_fetches_the_longer_token(
    watching: Any, machine: Machine, behaviour: Behaviour
) -> None:
    tag(behaviour, NOW + 1800)
    watching.look()
    token = machine.root / "etc/condor/tokens.d/annex"
    assert not token.exists()
    tag(behaviour, NOW + 7200)
    watching.look()
    assert token.read_text() == "a.longer.token\n"


@pytest.mark.parametrize(("left", "new"), [(3600, "head"), (-1, "a.longer.token")])
def test_a_token_that_outlives_the_lease_is_not_fetched_again(
    watching: Any, machine: Machine, behaviour: Behaviour, left: int, new: str
) -> None:
    claims = json.dumps({"exp": NOW + 7200 + left}).encode()
    body = base64.urlsafe_b64encode(claims).decode().rstrip("=")
    token = machine.root / "etc/condor/tokens.d/annex"
    token.parent.mkdir(parents=True)
    token.write_text(f"head.{body}.sign\n")
    tag(behaviour, NOW + 7200)
    watching.look()
    assert token.read_text().startswith(new)


def test_a_lease_that_is_over_ends_the_node_now(
    watching: Any, machine: Machine, behaviour: Behaviour
) -> None:
    tag(behaviour, NOW - 1)
    watching.look()
    assert machine.calls[0] == "systemctl start --no-block annexkit-lease.service"


def test_a_spot_notice_stops_new_jobs_once(
    watching: Any, machine: Machine, behaviour: Behaviour
) -> None:
    behaviour.values["meta-data/instance-life-cycle"] = b"spot"
    watching.look()
    assert watching.pause == watch.SPOT_SECONDS
    assert machine.calls == []
    behaviour.values["meta-data/spot/instance-action"] = b'{"action": "terminate"}'
    watching.look()
    watching.look()
    assert machine.calls == MOVED[-2:]
    config = machine.read(f"{CONFIG}/51-annex-lease.config")
    assert f"AnnexSpotNotice = {watching.notice}" in config
    assert f"AnnexDrainAt = {watching.notice}" in config


def test_no_other_instance_asks_for_notices(
    watching: Any, behaviour: Behaviour
) -> None:
    behaviour.values["meta-data/instance-life-cycle"] = b"on-demand"
    watching.look()
    watching.look()
    asked = [line for line in behaviour.asked if "spot" in line]
    assert asked == []
    assert watching.pause == 60


def test_what_goes_wrong_once_is_said_and_tried_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Broken:
        pause = 7
        looks = 0

        def look(self) -> None:
            self.looks += 1
            raise lease.LeaseError("systemctl: no")

    broken = Broken()

    def sleep(seconds: float) -> None:
        assert seconds == 7
        if broken.looks == 3:
            raise StopIteration

    with pytest.raises(StopIteration):
        watch.run(broken, sleep)
    assert capsys.readouterr().out.count("error: systemctl: no") == 3

"""The machinery of fresh boots: journalled before, and gone after whatever happens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from annexkit import instances, network, ssh
from annexkit.aws import AwsError, Cloud
from annexkit.flows import fresh_boot
from annexkit.flows.fresh_boot import Boot, SilentError, Subject
from annexkit.flows.site import Site
from annexkit.journal import Entry
from annexkit.stopping import Stop
from annexkit.verify import hostkeys
from tests.unit.flows.booting import a_site, a_subject, left, machines, states
from tests.unit.helpers import BUILD, REGION, FakeClock

BOOT = Boot("try", 2, "t3.small", idle=120, lifetime=1800)


@pytest.fixture
def site(
    tmp_path: Path, clock: FakeClock, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> Site:
    return a_site(tmp_path, clock, cloud, monkeypatch)


@pytest.fixture
def subject(site: Site) -> Subject:
    return a_subject(site)


def boot(site: Site, subject: Subject, during: Any = lambda: None) -> list[str]:
    """Boot two nodes, and do something while they run."""
    with fresh_boot.booted(site, subject, BOOT, ssh.new_key()) as nodes:
        during()
        return [node.id for node in nodes]


def test_what_was_asked_for_runs_and_ends(site: Site, subject: Subject) -> None:
    seen: list[list[str]] = []
    assert len(set(boot(site, subject, lambda: seen.append(states())))) == 2
    assert seen == [["running", "running"]]
    assert {machine.instance_type for machine in machines()} == {"t3.small"}
    assert states() == ["terminated", "terminated"]
    assert left(site) == []


def test_a_node_is_told_its_two_ends(site: Site) -> None:
    told = yaml.safe_load(fresh_boot.user_data(site, BOOT, ssh.new_key(), 1e9))
    annex = json.loads(told["write_files"][0]["content"])
    assert (annex["lease_expires"], annex["idle_seconds"]) == (1_000_000_000, 120)
    assert (annex["mode"], annex["annex"]) == ("one-node", "try")
    assert "--on-active=1800" in told["bootcmd"][0]


def test_a_console_that_stays_silent_is_told_from_other_trouble(
    site: Site, subject: Subject, monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    node = instances.Instance("i-1", REGION, "running", private_ip="192.0.2.1")
    monkeypatch.setattr(instances, "console_text", lambda *_: "no key here")
    monkeypatch.setattr(ssh, "connect", lambda *_, **__: pytest.fail("without a key"))
    with pytest.raises(SilentError, match="not within 600 s") as caught:
        fresh_boot.login(site, subject, node, ssh.new_key())
    assert "get-console-output" in caught.value.mend and REGION in caught.value.mend
    assert clock.slept >= 600


def test_what_is_made_is_journalled_before_and_expires(
    site: Site, subject: Subject
) -> None:
    seen: list[Entry] = []
    boot(site, subject, lambda: seen.extend(site.journal.entries()))
    assert {entry.kind for entry in seen} == {"security-group", "instances"}
    assert all(e.deadline > site.clock.time() for e in seen)
    assert all(e.tags["annexkit:build"] == BUILD for e in seen)


def test_instances_whose_launch_was_never_answered_are_found_by_their_token(
    site: Site, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, find = instances.run, instances.find
    tokens: list[str] = []

    def run(cloud: Cloud, launch: instances.Launch) -> list[str]:
        tokens.append(launch.token)
        real(cloud, launch)
        raise AwsError("lost", code="ReadTimeoutError", action="Run", region=REGION)

    def found(
        cloud: Cloud, region: str, filters: dict[str, list[str]], *ids: Any
    ) -> list[instances.Instance]:
        # moto has no such filter; the rehearsal has, and tests it.
        if "client-token" in filters:
            tokens.extend(filters["client-token"])
        return find(cloud, region, {}, *ids)

    monkeypatch.setattr(instances, "run", run)
    monkeypatch.setattr(instances, "find", found)
    with pytest.raises(AwsError, match="lost"):
        boot(site, subject)
    assert len(tokens) >= 2, "it was searched for"
    assert len(set(tokens)) == 1, "by the token of the launch"
    assert states() == ["terminated", "terminated"]
    assert left(site) == []


def test_an_entry_stays_open_when_the_group_cannot_be_deleted(
    site: Site,
    subject: Subject,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AwsError("no", code="Odd", action="DeleteSecurityGroup", region=REGION)

    monkeypatch.setattr(network, "delete_group", refuse)
    boot(site, subject)
    assert "left of the fresh boot: invoke reap" in capsys.readouterr().err
    (entry,) = site.journal.entries()
    assert entry.kind == "security-group"


def test_a_launch_that_ec2_refused_is_not_searched_for(
    site: Site, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object) -> list[str]:
        code = "InsufficientInstanceCapacity"
        raise AwsError("full", code=code, action="Run", region=REGION, refused=True)

    def search(*_: object, **__: object) -> None:
        pytest.fail("nothing was launched")

    monkeypatch.setattr(instances, "run", run)
    monkeypatch.setattr(instances, "end_launch", search)
    with pytest.raises(AwsError, match="full"):
        boot(site, subject)
    assert left(site) == []


def test_stopped_while_it_launches_it_searches_for_what_was_launched(
    site: Site, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens: list[str] = []

    def run(_: Cloud, launch: instances.Launch) -> list[str]:
        tokens.append(launch.token)
        raise Stop("SIGTERM")

    def end_launch(
        _: Cloud, region: str, ids: list[str], token: str, **__: object
    ) -> None:
        assert (region, ids, token) == (REGION, [], tokens[0])
        tokens.append(token)

    monkeypatch.setattr(instances, "run", run)
    monkeypatch.setattr(instances, "end_launch", end_launch)
    with pytest.raises(Stop):
        boot(site, subject)
    assert len(tokens) == 2
    assert left(site) == []


def test_a_group_that_could_not_be_opened_is_taken_away(
    site: Site, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AwsError("no", code="Odd", action="Authorize", region=REGION)

    monkeypatch.setattr(network, "allow_ssh", refuse)
    with pytest.raises(AwsError, match="no"):
        boot(site, subject)
    assert left(site) == []


@pytest.mark.parametrize(("state", "there"), [("running", True), ("terminated", False)])
def test_a_login_that_fails_asks_ec2_whether_the_instance_is_still_there(
    site: Site,
    subject: Subject,
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    there: bool,
) -> None:
    node = instances.Instance("i-1", REGION, state, private_ip="192.0.2.1")
    given: dict[str, Any] = {}
    monkeypatch.setattr(instances, "console_text", lambda *_: "text")
    monkeypatch.setattr(instances, "find", lambda *_: [node])
    monkeypatch.setattr(hostkeys, "parse_console", lambda _: ["a key"])
    monkeypatch.setattr(ssh, "connect", lambda *_, **more: given.update(more))
    fresh_boot.login(site, subject, node, ssh.new_key())
    assert given["still_there"]() is there


def test_a_group_that_may_have_been_made_is_left_to_the_reaper(
    site: Site, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> str:
        raise Stop("SIGTERM")

    monkeypatch.setattr(network, "create_group", stopped)
    with pytest.raises(Stop):
        boot(site, subject)
    (entry,) = site.journal.entries()
    assert (entry.kind, entry.build) == ("security-group", subject.build_id)


def test_a_login_name_that_htcondor_cannot_quote_is_made_plain(
    site: Site, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fresh_boot, "owner", lambda: 'DOMAIN\\jo "x"')
    key = ssh.new_key()
    told = yaml.safe_load(fresh_boot.user_data(site, BOOT, key, expires=1.0))
    annex = json.loads(told["write_files"][0]["content"])
    assert annex["owner"] == "DOMAIN-jo--x-"

"""The fresh boot: two instances, every check, and nothing left whatever happens.

EC2 is moto's, so nothing boots: what a node would answer is put in its place.
"""

from __future__ import annotations

import base64
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml

from annexkit import instances, network, ssh
from annexkit.aws import AwsError, Cloud
from annexkit.errors import AnnexkitError, Exit, Interrupted
from annexkit.flows import bake_plan, prove
from annexkit.flows.prove import ProofError, Subject
from annexkit.flows.site import Site
from annexkit.journal import Entry
from annexkit.stopping import Stop
from annexkit.verify import hostkeys
from annexkit.verify.checks import Check, NodeReport
from tests.unit.flows.bakery import Bakery, ec2, make_site
from tests.unit.helpers import BUILD, REGION, FakeClock, a_build

BASE = "ami-00000000000000001"


class Nodes:
    """What the two nodes say; ``during`` happens while the first one is checked."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.checked: list[str] = []
        self.failing = False
        self.alike = False
        self.during: Any = lambda: None
        patch.setattr(prove, "_login", lambda *_: nullcontext())
        patch.setattr(prove, "_check", self.check)

    def check(self, site: Site, subject: Subject, node: Any, _: Any) -> NodeReport:
        self.checked.append(node.id)
        self.during()
        identity = "same" if self.alike else node.id
        one = Check(name="condor", ok=not self.failing, detail="stopped", seconds=0.1)
        return NodeReport(
            name=node.id,
            checks=(one,),
            identity={"machine-id": (identity,)},
            boot_seconds=1.0,
        )


@pytest.fixture
def site(
    tmp_path: Path, clock: FakeClock, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> Site:
    site = make_site(tmp_path, clock, cloud)
    with monkeypatch.context() as patch:  # its checkout and base AMI, not its stand-ins
        Bakery(site, patch)
    return site


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Nodes:
    return Nodes(monkeypatch)


@pytest.fixture
def subject(site: Site) -> Subject:
    image = bake_plan.read_image(site, "debian13")
    return Subject(image, BUILD, a_build(), REGION, BASE)


def states() -> list[str]:
    return sorted(i.state for r in ec2().reservations.values() for i in r.instances)


def left(site: Site) -> list[object]:
    """What costs money or stands in the way."""
    groups = site.cloud.pages(REGION, "describe_security_groups", "SecurityGroups")
    return [
        *(state for state in states() if state not in ("terminated", "shutting-down")),
        *(g["GroupName"] for g in groups if g["GroupName"] != "default"),
        *(entry.id for entry in site.journal.entries()),
    ]


def test_two_instances_are_checked_and_ended(
    site: Site, nodes: Nodes, subject: Subject
) -> None:
    proof = prove.prove(site, subject)
    assert len(set(nodes.checked)) == 2
    assert [r.name for r in proof.reports] == nodes.checked
    assert states() == ["terminated", "terminated"]
    assert left(site) == []


def test_what_is_made_is_journalled_before_and_expires(
    site: Site, nodes: Nodes, subject: Subject
) -> None:
    seen: list[Entry] = []
    nodes.during = lambda: seen.extend(site.journal.entries())
    prove.prove(site, subject)
    assert {entry.kind for entry in seen} == {"security-group", "instances"}
    assert all(e.deadline > site.clock.time() for e in seen)
    assert all(e.tags["annexkit:build"] == BUILD for e in seen)


def test_the_user_data_has_the_marker_the_key_and_no_secret(
    site: Site, nodes: Nodes, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[instances.Launch] = []
    real = instances.run

    def run(cloud: Cloud, launch: instances.Launch) -> list[str]:
        launched.append(launch)
        return real(cloud, launch)

    monkeypatch.setattr(instances, "run", run)
    prove.prove(site, subject)
    (launch,) = launched
    assert "# annexkit: contract=annexkit" in launch.user_data
    told = yaml.safe_load(launch.user_data)
    (key,) = told["ssh_authorized_keys"]
    assert key.startswith("ssh-ed25519 ")
    assert base64.b64decode(key.split()[1])
    assert '"mode": "one-node"' in told["write_files"][0]["content"]
    assert "PRIVATE" not in launch.user_data
    assert launch.count == 2
    assert launch.instance_type == "t3.small"


def test_a_failed_check_is_an_error_of_ours_and_not_of_usage(
    site: Site, nodes: Nodes, subject: Subject
) -> None:
    nodes.failing = True
    with pytest.raises(ProofError) as caught:
        prove.prove(site, subject)
    assert caught.value.exit_code == Exit.FAILED
    assert len(caught.value.findings) == 2, "one for each node"
    assert all(f.mend for f in caught.value.findings)
    assert left(site) == []


def test_two_nodes_with_one_identity_fail_the_proof(
    site: Site, nodes: Nodes, subject: Subject
) -> None:
    nodes.alike = True
    with pytest.raises(ProofError, match="have the same machine-id"):
        prove.prove(site, subject)


@pytest.mark.parametrize(
    "error", [Interrupted("stopped by SIGTERM"), AnnexkitError("no login")]
)
def test_whatever_ends_it_early_nothing_is_left(
    site: Site, nodes: Nodes, subject: Subject, error: AnnexkitError
) -> None:
    def stop() -> None:
        raise error

    nodes.during = stop
    with pytest.raises(type(error)):
        prove.prove(site, subject)
    assert left(site) == []


def test_instances_whose_launch_was_never_answered_are_found_by_their_token(
    site: Site, nodes: Nodes, subject: Subject, monkeypatch: pytest.MonkeyPatch
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
        prove.prove(site, subject)
    assert len(tokens) >= 2, "it was searched for"
    assert len(set(tokens)) == 1, "by the token of the launch"
    assert states() == ["terminated", "terminated"]
    assert left(site) == []


def test_an_entry_stays_open_when_the_group_cannot_be_deleted(
    site: Site,
    nodes: Nodes,
    subject: Subject,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AwsError("no", code="Odd", action="DeleteSecurityGroup", region=REGION)

    monkeypatch.setattr(network, "delete_group", refuse)
    prove.prove(site, subject)
    assert "left of the fresh boot: invoke reap" in capsys.readouterr().err
    (entry,) = site.journal.entries()
    assert entry.kind == "security-group"


def test_a_refused_launch_says_nothing_about_the_ami(
    site: Site, nodes: Nodes, subject: Subject
) -> None:
    for vpc in ec2().vpcs.values():
        vpc.is_default = "false"
    with pytest.raises(AnnexkitError, match="no default VPC") as caught:
        prove.prove(site, subject)
    assert not isinstance(caught.value, ProofError)
    assert states() == []
    assert site.journal.entries() == []


def test_a_launch_that_ec2_refused_is_not_searched_for(
    site: Site, nodes: Nodes, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object) -> list[str]:
        code = "InsufficientInstanceCapacity"
        raise AwsError("full", code=code, action="Run", region=REGION, refused=True)

    def search(*_: object, **__: object) -> None:
        pytest.fail("nothing was launched")

    monkeypatch.setattr(instances, "run", run)
    monkeypatch.setattr(instances, "end_launch", search)
    with pytest.raises(AwsError, match="full"):
        prove.prove(site, subject)
    assert left(site) == []


def test_stopped_while_it_launches_it_searches_for_what_was_launched(
    site: Site, nodes: Nodes, subject: Subject, monkeypatch: pytest.MonkeyPatch
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
        prove.prove(site, subject)
    assert len(tokens) == 2
    assert left(site) == []


def test_a_group_that_could_not_be_opened_is_taken_away(
    site: Site, nodes: Nodes, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AwsError("no", code="Odd", action="Authorize", region=REGION)

    monkeypatch.setattr(network, "allow_ssh", refuse)
    with pytest.raises(AwsError, match="no"):
        prove.prove(site, subject)
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
    prove._login(site, subject, node, ssh.new_key())
    assert given["still_there"]() is there


def test_a_group_that_may_have_been_made_is_left_to_the_reaper(
    site: Site, nodes: Nodes, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> str:
        raise Stop("SIGTERM")

    monkeypatch.setattr(network, "create_group", stopped)
    with pytest.raises(Stop):
        prove.prove(site, subject)
    (entry,) = site.journal.entries()
    assert (entry.kind, entry.build) == ("security-group", subject.build_id)


def test_a_login_name_that_htcondor_cannot_quote_is_made_plain(
    site: Site, nodes: Nodes, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prove, "owner", lambda: 'DOMAIN\\jo "x"')
    key = ssh.new_key()
    told = yaml.safe_load(prove._user_data(site, subject, key, expires=1.0))
    annex = json.loads(told["write_files"][0]["content"])
    assert annex["owner"] == "DOMAIN-jo--x-"

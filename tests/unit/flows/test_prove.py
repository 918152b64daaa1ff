"""The fresh boot: two instances, every check, and nothing left whatever happens."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import yaml

from annexkit import instances
from annexkit.aws import Cloud
from annexkit.errors import AnnexkitError, Exit, Interrupted
from annexkit.flows import prove
from annexkit.flows.fresh_boot import ProofError, Subject
from annexkit.flows.site import Site
from tests.unit.flows.bakery import ec2
from tests.unit.flows.booting import Nodes, a_site, a_subject, left, states
from tests.unit.helpers import FakeClock


@pytest.fixture
def site(
    tmp_path: Path, clock: FakeClock, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> Site:
    return a_site(tmp_path, clock, cloud, monkeypatch)


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Nodes:
    return Nodes(monkeypatch)


@pytest.fixture
def subject(site: Site) -> Subject:
    return a_subject(site)


def test_two_instances_are_checked_and_ended(
    site: Site, nodes: Nodes, subject: Subject
) -> None:
    proof = prove.prove(site, subject)
    assert len(set(nodes.checked)) == 2
    assert [r.name for r in proof.reports] == nodes.checked
    assert states() == ["terminated", "terminated"]
    assert left(site) == []


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

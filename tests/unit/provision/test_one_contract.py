"""At most one contract acts, whatever an instance was launched with.

Every combination of user data, profile, tag (shown by the metadata service, told by
EC2, not permitted to be asked, not to be reached) and contracts in the image, against a
metadata service and an EC2 that really answer.
"""

from __future__ import annotations

import gzip
import itertools
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.unit.provision.conftest import PROVISION
from tests.unit.provision.metadata_stub import Behaviour, Service, serving
from tests.unit.provision.node import load
from tests.unit.provision.upstream_cloud import (
    TAG,
    Cloud,
    metadata,
    refusing,
    serving_moto,
)

select = load("select_contract")
imds = load("imds")
load("aws_own")  # which the selector imports only where it asks
AT_ONCE = dict.fromkeys(select.PATIENCE, 0.0)

MARKED = "#cloud-config\n# annexkit: contract=annexkit\n"
CFN = "#!/bin/bash\n/opt/aws/bin/cfn-init -c preinstalled\n"
# User data -> the contract that it asks for; None where there is none to ask.
USER_DATA: dict[str, tuple[bytes | None, str | None]] = {
    "none": (None, None),
    "blank": (b" \n", None),
    "marked": (MARKED.encode(), "annexkit"),
    "marked, gzipped": (gzip.compress(MARKED.encode()), "annexkit"),
    "cfn-init": (CFN.encode(), "seed-cfn"),
    "marked and cfn-init": ((MARKED + CFN).encode(), "annexkit"),
    "two markers": ((MARKED + "# annexkit: contract=seed-cfn\n").encode(), "none"),
    "marked for upstream": (b"# annexkit: contract=annex-ec2\n", "none"),
    "somebody's script": (b"#!/bin/sh\nid\n", "none"),
}
CONTRACTS = ("annex-ec2", "annexkit", "seed-cfn")
CARRIED = [
    frozenset(some)
    for count in range(len(CONTRACTS) + 1)
    for some in itertools.combinations(CONTRACTS, count)
]
TAGGED = ("metadata", "EC2")
TAGS = (*TAGGED, "nowhere", "not permitted", "not reached")


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with serving_moto() as served:
        yield served


@pytest.fixture(scope="module")
def instances(cloud: Cloud) -> dict[bool, str]:
    """Return an instance by whether it carries upstream's tag."""
    tag = {TAG: "grid"}
    return {True: cloud.instance("grid_1", **tag), False: cloud.instance("grid_2")}


@pytest.fixture(scope="module")
def endpoints(cloud: Cloud) -> Iterator[dict[str, str]]:
    with refusing() as denying:
        at = {"not permitted": denying, "not reached": "http://127.0.0.1:1"}
        yield {tag: at.get(tag, cloud.url) for tag in TAGS}


def expected(user_data: str, profile: bool, tag: str, carried: frozenset[str]) -> str:
    """Return the word that docs/contracts.md asks for."""
    wanted = USER_DATA[user_data][1]
    if wanted is None:
        wanted = "annex-ec2" if profile and tag in TAGGED else "none"
    return wanted if wanted in carried else "none"


@dataclass
class Selection:
    """A metadata service and EC2, set as a combination wants them."""

    service: Service
    instances: dict[bool, str]
    endpoints: dict[str, str]
    patch: pytest.MonkeyPatch

    def of(
        self, user_data: str, tag: str, carried: frozenset[str], profile: bool = True
    ) -> Any:
        """Return what is selected."""
        told = metadata(self.instances[tag == "EC2"], "node" if profile else "")
        if tag == "metadata":
            told[f"meta-data/tags/instance/{TAG}"] = b"grid"
        if (data := USER_DATA[user_data][0]) is not None:
            told["user-data"] = data
        self.service.behaviour.values = told
        self.patch.setenv("AWS_ENDPOINT_URL", self.endpoints[tag])
        facts = select.gather(imds.Imds(self.service.url, 5), carried, AT_ONCE)
        return select.choose(facts, carried)


@pytest.fixture
def selection(
    behaviour: Behaviour,
    instances: dict[bool, str],
    endpoints: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Selection]:
    with serving(behaviour) as service:
        monkeypatch.setenv("ANNEXKIT_IMDS", service.url)
        monkeypatch.setenv("ANNEXKIT_IMDS_PATIENCE", "5")
        yield Selection(service, instances, endpoints, monkeypatch)


@pytest.mark.parametrize("user_data", sorted(USER_DATA))
@pytest.mark.parametrize("profile", [True, False], ids=["profile", "no profile"])
def test_each_combination_selects_one_contract_or_none(
    selection: Selection, user_data: str, profile: bool
) -> None:
    for tag, carried in itertools.product(TAGS, CARRIED):
        found = selection.of(user_data, tag, carried, profile)
        wanted = expected(user_data, profile, tag, carried)
        assert found.contract == wanted, (tag, sorted(carried), found.why)


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("EC2", "the tag htcondor:AnnexName is set"),
        ("nowhere", "no tag htcondor:AnnexName"),
        ("not permitted", "may not call ec2:DescribeInstances"),
        ("not reached", "cannot be asked"),
    ],
)
def test_the_reason_says_what_ec2_said(
    selection: Selection, tag: str, said: str
) -> None:
    assert said in selection.of("none", tag, frozenset({"annex-ec2"})).why


def test_what_cannot_be_selected_is_not_asked_for(selection: Selection) -> None:
    """Without the contract in the image, EC2 is not asked, and nobody waits for it."""
    selection.of("none", "not reached", frozenset({"annexkit", "seed-cfn"}))
    asked = selection.service.behaviour.asked
    assert asked
    assert not [path for path in asked if "credentials" in path]


# What stands behind the word: each contract's unit acts on its own word and no other.


def unit_guards() -> dict[str, list[str]]:
    """Return the guards of every unit that belongs to a contract, by the contract."""
    found: dict[str, list[str]] = {}
    lines = (PROVISION / "files.tsv").read_text().splitlines()
    for line in (line for line in lines if line and not line.startswith("#")):
        path, _, _, only = line.split("\t")
        if only.startswith("contract=") and path.endswith(".service"):
            text = (PROVISION / f"files{path}").read_text()
            guards = re.findall(r"(?m)^ExecCondition=(.*)$", text)
            if "WantedBy=" in text:  # what starts at boot by itself
                found.setdefault(only[9:], []).extend(guards or ["nothing"])
    return found


def test_every_contract_has_a_unit_that_starts_at_boot() -> None:
    assert {"annexkit", "annex-ec2"} <= set(unit_guards())


@pytest.mark.parametrize("word", [*CONTRACTS, "none"])
def test_a_word_lets_the_units_of_one_contract_run(word: str, tmp_path: Path) -> None:
    file = tmp_path / "contract"
    file.write_text(f"{word}\n")
    acting = {
        contract
        for contract, guards in unit_guards().items()
        for guard in guards
        if passes(guard, file)
    }
    assert acting <= {word}
    assert word == "none" or word not in unit_guards() or acting == {word}


def passes(guard: str, file: Path) -> bool:
    """Run a unit's condition as systemd does, on a file of the test's."""
    assert "/run/annexkit/contract" in guard, (
        f"it starts whatever was selected: {guard}"
    )
    command = shlex.split(guard.replace("/run/annexkit/contract", str(file)))
    return subprocess.run(command, check=False).returncode == 0

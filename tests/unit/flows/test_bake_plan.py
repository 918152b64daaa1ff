"""The plan of a bake: settled without changing anything, with little asked."""

from __future__ import annotations

import getpass
import json
import re
from pathlib import Path

import pytest

from annexkit.aws import Cloud
from annexkit.bake.index import Checked, Unchecked
from annexkit.bake.packer import Packer
from annexkit.errors import FindingsError, Level, UsageError
from annexkit.flows import bake_plan, bake_run
from tests.unit.flows.bakery import Bakery, make_site
from tests.unit.helpers import REGION, FakeClock


@pytest.fixture
def bakery(
    tmp_path: Path, clock: FakeClock, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> Bakery:
    return Bakery(make_site(tmp_path, clock, cloud), monkeypatch)


def variables(bakery: Bakery) -> str:
    plan = bakery.plan()
    outputs = bake_run.outputs(bakery.site, plan)
    folder = bake_plan.write_template(bakery.site, plan, outputs)
    return (folder / "run.pkrvars.hcl").read_text()


def test_a_plan_costs_one_call_and_changes_nothing(bakery: Bakery) -> None:
    before = sorted(bakery.site.root.rglob("*"))
    bakery.site.cloud.calls.clear()
    bakery.plan()
    assert dict(bakery.site.cloud.calls) == {(REGION, "DescribeImages"): 1}
    assert sorted(bakery.site.root.rglob("*")) == before


def test_the_build_id_is_its_time_and_chance(bakery: Bakery) -> None:
    one, other = bakery.plan(), bakery.plan()
    assert re.fullmatch(r"20231114T221320-[0-9a-f]{6}", one.build_id)
    assert one.build_id != other.build_id
    assert one.digest == other.digest


def test_the_digest_covers_version_base_and_both_folders(bakery: Bakery) -> None:
    seen = {bakery.plan().digest.value}
    bakery.offers = Checked("24.0.1", "trixie", "file:/", "0" * 64)
    seen.add(bakery.plan().digest.value)
    for name in ("provision/units.tsv", "cloud-init/builder.yaml"):
        path = bakery.site.root / name
        path.write_text(path.read_text() + "# changed\n")
        seen.add(bakery.plan().digest.value)
    assert len(seen) == 4


def test_another_series_than_the_recipe_wants_is_an_error(bakery: Bakery) -> None:
    bakery.offers = Checked("24.0.1", "trixie", "file:/", "0" * 64)
    (found,) = (f for f in bakery.plan().findings if f.level is Level.ERROR)
    assert found.what == "HTCondor 23.9 is wanted, trixie has 24.0.1"


def test_an_unchecked_index_keeps_the_digest_of_the_last_build(bakery: Bakery) -> None:
    bakery.bake()
    known = bakery.plan().digest
    bakery.offers = Unchecked("the mirror is down")
    plan = bakery.plan()
    assert plan.digest == known
    assert plan.version == ""
    assert plan.equal is not None and plan.equal.stands
    (warning,) = (f for f in plan.findings if f.level is Level.WARNING)
    assert warning.what.endswith("was not checked: the mirror is down")


def test_an_unchecked_index_without_a_last_build_is_told_in_the_digest(
    bakery: Bakery,
) -> None:
    bakery.offers = Unchecked("the mirror is down")
    assert bakery.plan().digest.parts["HTCondor"] == "unchecked"


def test_what_lies_in_provision_and_is_no_part_of_it_is_a_warning(
    bakery: Bakery,
) -> None:
    (bakery.site.root / "provision" / "10-system.sh~").write_text("old")
    digest = bakery.plan().digest
    found = [f for f in bakery.plan().findings if f.where.endswith("10-system.sh~")]
    assert [f.level for f in found] == [Level.WARNING]
    assert bakery.plan().digest == digest


def test_packer_1_6_is_told_to_leave_the_builder_without_imdsv2(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert any("IMDSv2 on the builder" in f.what for f in bakery.plan().findings)
    newer = Packer("/packer", (1, 11, 0))
    monkeypatch.setattr(bake_plan, "find_packer", lambda _: newer)
    assert not any("IMDSv2" in f.what for f in bakery.plan().findings)


def test_what_changes_from_run_to_run_stands_in_the_variables(bakery: Bakery) -> None:
    text = variables(bakery)
    assert re.search(r'^region = "us-west-2"$', text, re.MULTILINE)
    assert re.search(r'^endpoint = ""$', text, re.MULTILINE)
    assert re.search(r"^max_retries = 0$", text, re.MULTILINE)
    assert re.search(r"^expires = 1700007200$", text, re.MULTILINE)
    assert "192.0.2.7/32" in text
    assert "--on-active=7200" in text


def test_an_endpoint_of_its_own_is_not_asked_again_and_again(bakery: Bakery) -> None:
    bakery.site.cloud.__dict__["endpoint"] = "http://127.0.0.1:4566"
    text = variables(bakery)
    assert '"http://127.0.0.1:4566"' in text
    assert re.search(r"^max_retries = 1$", text, re.MULTILINE)


def test_a_bake_without_a_login_name_has_an_unknown_owner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert bake_plan.owner() == getpass.getuser()

    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert bake_plan.owner() == "unknown"


def test_the_plan_as_data_is_json(bakery: Bakery) -> None:
    plan = bakery.plan()
    told = json.loads(json.dumps(bake_plan.as_data(plan)))
    assert told["digest"] == plan.digest.value
    assert (told["image"], told["region"], told["dialect"]) == (
        *("debian13", REGION, "1.6"),
    )


def test_a_whole_checkout_passes(bakery: Bakery) -> None:
    bake_plan.check_checkout(bakery.site.root)


@pytest.mark.parametrize("name", bake_plan.NEEDED)
def test_each_missing_file_is_named_with_how_to_get_it_back(
    bakery: Bakery, name: str
) -> None:
    (bakery.site.root / name).unlink()
    with pytest.raises(FindingsError) as caught:
        bake_plan.check_checkout(bakery.site.root)
    (found,) = caught.value.findings
    assert found.where == str(bakery.site.root / name)
    assert found.mend == f"restore it: git checkout -- {name}"


def test_broken_user_data_of_the_fresh_boot_is_found_before_the_bake(
    bakery: Bakery,
) -> None:
    (bakery.site.root / "cloud-init/annexkit.yaml").write_text("#cloud-config\na: [\n")
    with pytest.raises(UsageError, match="cannot be read") as caught:
        bake_plan.check_checkout(bakery.site.root)
    assert caught.value.where.endswith("annexkit.yaml:3")

"""The Packer run of a bake: journal before, registry after, nothing left when it fails.

Packer is a stand-in here (bakery.py); EC2 is moto's.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from annexkit.aws import Cloud
from annexkit.bake.dialect import Dialect
from annexkit.bake.packer import PackerError
from annexkit.errors import AnnexkitError
from annexkit.files import FileError
from annexkit.flows import bake_plan, bake_run
from annexkit.flows.bake_run import BakeError
from annexkit.journal import Entry
from annexkit.registry import RegistryError
from tests.unit.flows.bakery import Bakery, ec2, make_site, raising
from tests.unit.helpers import REGION, FakeClock


@pytest.fixture
def bakery(
    tmp_path: Path, clock: FakeClock, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> Bakery:
    return Bakery(make_site(tmp_path, clock, cloud), monkeypatch)


def test_the_journal_names_the_run_while_it_lasts(bakery: Bakery) -> None:
    seen: list[Entry] = []
    bakery.packing = {REGION: lambda: seen.extend(bakery.site.journal.entries())}
    plan = bakery.plan()
    bake_run.bake(bakery.site, plan)
    (entry,) = seen
    assert (entry.kind, entry.build, entry.region) == ("packer", plan.build_id, REGION)
    assert entry.ami_name == bake_plan.ami_name(bakery.site, plan)
    assert entry.packer is not None and entry.packer.pid == 1
    assert entry.deadline == bake_plan.expires(bakery.site, plan)
    assert bakery.site.journal.entries() == []


def test_what_was_baked_is_a_candidate_that_requires_tokens(bakery: Bakery) -> None:
    plan = bakery.plan()
    ami = bake_run.bake(bakery.site, plan)
    assert bakery.site.cloud.calls[(REGION, "ModifyImageAttribute")] == 1
    assert bakery.names().candidate == plan.build_id
    build = bakery.site.registry.read().images["debian13"].builds[plan.build_id]
    there = build.regions[REGION]
    assert (there.ami, there.snapshot, there.state) == (ami.id, ami.snapshot, "pending")
    assert (build.digest, build.packer) == (plan.digest.value, "1.6.6")
    assert build.base_ami.id == plan.base.id
    assert build.git.sha == "", "no git here"


def test_the_package_list_lies_beside_the_registry_under_its_hash(
    bakery: Bakery,
) -> None:
    plan = bakery.plan()
    bake_run.bake(bakery.site, plan)
    listed = bakery.site.registry.read().images["debian13"].builds[plan.build_id]
    assert listed.packages is not None
    data = (bakery.site.root / listed.packages.path).read_bytes()
    assert data == b"condor\t23.9.6\tamd64\n"
    assert hashlib.sha256(data).hexdigest() == listed.packages.sha256


def test_which_helper_scripts_are_in_it_is_read_from_what_was_installed(
    bakery: Bakery,
) -> None:
    plan = bakery.plan()
    bakery.packages = "annexkit-cfn-init\t0123456789ab\tall\n" + bakery.packages
    bake_run.bake(bakery.site, plan)
    build = bakery.site.registry.read().images["debian13"].builds[plan.build_id]
    assert build.helper_scripts == "annexkit-cfn-init 0123456789ab"
    assert build.htcondor == "23.9.6"


def test_an_ami_that_does_not_require_tokens_is_no_result(bakery: Bakery) -> None:
    bakery.tokens = None
    with pytest.raises(AnnexkitError, match=r"ImdsSupport=v2\.0"):
        bake_run.bake(bakery.site, bakery.plan())
    assert bakery.ours() == []
    assert bakery.site.registry.read().images == {}


def test_a_second_bake_of_the_same_does_not_touch_the_first_ones_folder(
    bakery: Bakery,
) -> None:
    plan = bakery.plan()
    folder = bake_plan.directory(bakery.site, plan)
    folder.mkdir(parents=True)
    with (
        FileLock(folder / ".lock"),
        pytest.raises(BakeError, match="another bake") as caught,
    ):
        bake_run.bake(bakery.site, plan)
    assert caught.value.mend
    assert [p.name for p in folder.iterdir()] == [".lock"]
    assert bakery.site.journal.entries() == []


def test_what_a_failed_run_left_is_taken_and_the_error_goes_on(bakery: Bakery) -> None:
    bakery.packing = {REGION: raising(PackerError("Packer failed at 'x'"))}
    other = ec2().register_image(name="annexkit-debian13-x86_64-of-somebody-else")
    with pytest.raises(PackerError, match="at 'x'"):
        bake_run.bake(bakery.site, bakery.plan())
    assert bakery.ours() == [other.id]
    assert bakery.site.journal.entries() == []


def test_an_entry_stays_open_when_the_clean_up_failed(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object, ami_id: str) -> None:
        raise AnnexkitError("not now")

    bakery.packing = {REGION: raising(PackerError("no"))}
    monkeypatch.setattr(type(ec2()), "deregister_image", refuse)
    with pytest.raises(AnnexkitError):
        bake_run.bake(bakery.site, bakery.plan())
    (entry,) = bakery.site.journal.entries()
    assert entry.kind == "packer"
    assert len(bakery.ours()) == 1


def test_a_registry_of_another_account_takes_no_build_of_ours(bakery: Bakery) -> None:
    plan = bakery.plan()
    path = bakery.site.registry.path
    path.write_text(path.read_text().replace("123456789012", "2" * 12))
    with pytest.raises(RegistryError, match="belongs to account 222222222222"):
        bake_run.bake(bakery.site, plan)
    assert bakery.ours() == []
    assert "2" * 12 in path.read_text()


@pytest.mark.parametrize("place", ["state/builds", "packer/build", "state/journal"])
def test_a_file_in_place_of_a_folder_is_told_before_packer_runs(
    bakery: Bakery, place: str
) -> None:
    plan = bakery.plan()
    path = bakery.site.root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    with pytest.raises(FileError) as caught:
        bake_run.bake(bakery.site, plan)
    assert caught.value.mend
    assert bakery.ours() == []


def test_packer_1_6_is_given_the_credentials_and_a_newer_one_finds_its_own(
    bakery: Bakery, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = bakery.plan()
    monkeypatch.setenv("AWS_PROFILE", "of-a-kind-that-1.6-does-not-know")
    given = {"AWS_ACCESS_KEY_ID": "resolved", "AWS_SECRET_ACCESS_KEY": "s"}
    monkeypatch.setattr(Cloud, "credentials_environment", lambda _: given)
    env = bake_run._environment(bakery.site, plan)
    assert "AWS_PROFILE" not in env
    assert env["AWS_ACCESS_KEY_ID"] == "resolved"
    assert env["PATH"] == os.environ["PATH"]
    newer = replace(plan, dialect=Dialect.PACKER_1_7)
    assert bake_run._environment(bakery.site, newer) == dict(os.environ)

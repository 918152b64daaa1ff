from __future__ import annotations

from pathlib import Path

from annexkit.errors import Finding, Level
from annexkit.pool.dumped import Setting
from annexkit.publish.choose import choose, for_upstream
from annexkit.publish.compare import differences
from tests.unit.helpers import ami_id
from tests.unit.publish.samples import NOW, a_registry

OURS = Path("/etc/condor/config.d/81-annexkit-images.config")
COMMAND = f"invoke registry.export --output {OURS}"
WEST = "us_west_2.annex_default_odi_image_id"
EAST = "us_east_1.annex_default_odi_image_id"
EQUAL = {
    WEST: Setting(ami_id(1), f"{OURS}, line 9"),
    EAST: Setting(ami_id(2), f"{OURS}, line 6"),
}


def compared(**live: Setting | None) -> list[Finding]:
    export = for_upstream(choose(a_registry(), NOW), "debian13", "x86_64")
    names = {name.replace("__", "."): one for name, one in live.items()}
    there = {k: v for k, v in {**EQUAL, **names}.items() if v}
    return differences(export, there, OURS, COMMAND)


def named(region: str) -> str:
    return f"{region}__annex_default_odi_image_id"


def test_equal_is_no_finding() -> None:
    assert compared() == []


def test_htcondors_own_amis_of_other_regions_are_no_difference() -> None:
    own = Setting("ami-02ce5672c4c88146c", "<Default>")
    assert compared(**{named("ap_south_1"): own}) == []


def test_what_is_not_set_names_the_ami_and_the_command() -> None:
    (found,) = compared(**{named("us_east_1"): None})
    assert found.level is Level.ERROR
    assert found.where == "us_east_1.ANNEX_DEFAULT_ODI_IMAGE_ID"
    assert found.what.startswith(f"it is not set; the registry has {ami_id(2)} (build ")
    assert found.mend == COMMAND


def test_set_to_nothing_is_not_set() -> None:
    (found,) = compared(**{named("us_east_1"): Setting("", f"{OURS}, line 6")})
    assert found.what.startswith("it is not set; ")


def test_an_old_ami_in_our_own_file_is_mended_by_the_export() -> None:
    old = Setting(ami_id(9), f"{OURS}, line 9")
    (found,) = compared(**{named("us_west_2"): old})
    assert found.where.endswith(f"ODI_IMAGE_ID ({OURS}, line 9)")
    assert f"it is {ami_id(9)}; the registry has {ami_id(1)}" in found.what
    assert found.mend == COMMAND


def test_a_line_elsewhere_has_to_go_first() -> None:
    other = Setting(ami_id(9), "/etc/condor/config.d/99-site, line 3")
    (found,) = compared(**{named("us_west_2"): other})
    assert found.mend == f"remove /etc/condor/config.d/99-site, line 3, then: {COMMAND}"


def test_htcondors_own_default_in_a_region_of_ours_is_a_difference() -> None:
    own = Setting("ami-02ce5672c4c88146c", "<Default>")
    (found,) = compared(**{named("us_west_2"): own})
    assert found.level is Level.ERROR
    assert found.what.startswith(
        "it is not set, and HTCondor's own is ami-02ce5672c4c88146c; the registry has"
    )
    assert found.mend == COMMAND


def test_a_region_that_the_export_does_not_have_is_a_difference() -> None:
    theirs = Setting("ami-0bad0bad", "/root/.condor/user_config, line 12")
    (found,) = compared(**{named("eu_west_1"): theirs})
    assert found.level is Level.ERROR
    assert found.what == "it is ami-0bad0bad; the export has no AMI for it"
    assert found.mend.startswith("remove /root/.condor/user_config, line 12, then: ")


def test_one_ami_for_all_regions_is_said_and_is_no_difference() -> None:
    (found,) = compared(annex_default_odi_image_id=Setting("ami-0bad0bad", "f, line 1"))
    assert found.level is Level.INFO
    assert "every region that has no line of its own" in found.what


def test_every_difference_is_named_at_once() -> None:
    wrong = Setting("ami-0bad0bad", "f, line 1")
    found = compared(
        **{
            named("us_west_2"): None,
            named("us_east_1"): wrong,
            named("eu_west_1"): wrong,
        }
    )
    assert [f.level for f in found] == [Level.ERROR] * 3
    assert len({f.where for f in found}) == 3
    assert all(f.mend for f in found)

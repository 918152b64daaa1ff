from __future__ import annotations

from annexkit.publish.night import PackageNight
from annexkit.publish.page_packages import diff_command, in_short, shown, versions
from tests.unit.publish import nights


def test_htcondor_kernel_and_runtime_come_first() -> None:
    found = shown(nights.packages(), 100)
    assert [one.name for one in found.first] == [
        "condor",
        "linux-image-6.12.48+deb13-cloud-amd64",
        "linux-image-6.12.57+deb13-cloud-amd64",
        "apptainer",
    ]
    assert [one.name for one in found.rest][:2] == ["libcurl4t64", "libexpat1"]
    assert found.left_out == 0


def test_what_there_is_no_room_for_is_counted_the_least_important_first() -> None:
    found = shown(nights.packages(), 5)
    assert len(found.first) == 4
    assert [one.name for one in found.rest] == ["libcurl4t64"]
    assert found.left_out == len(nights.packages()) - 5
    assert shown(nights.packages(), 2).first[0].name == "condor"


def test_what_was_not_there_is_said_in_words() -> None:
    assert versions(PackageNight(name="x", new="1")) == ("not there", "1")
    assert versions(PackageNight(name="x", old="1")) == ("1", "removed")


def test_in_short_names_htcondors_version_and_counts_the_others() -> None:
    both = [
        PackageNight(name="libclassad20", old="23.9", new="23.10"),
        PackageNight(name="htcondor", old="23.9.6", new="23.10.18"),
    ]
    assert in_short(both) == "HTCondor 23.9.6 → 23.10.18"
    assert in_short([PackageNight(name="tzdata", new="1")]) == "1 package"
    assert in_short([]) == ""


def test_the_command_for_all_of_them_is_registry_diff() -> None:
    assert diff_command(nights.changed("alma9")) == (
        f"invoke registry.diff {nights.OLD} {nights.NEW} --image alma9"
    )

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annexkit.bake.manifest import ManifestError, last_run, read_manifest


def entry(run: str, artifact: str = "us-west-2:ami-0123456789abcdef0") -> Any:
    return {
        "name": "image",
        "builder_type": "amazon-ebs",
        "artifact_id": artifact,
        "packer_run_uuid": run,
        "custom_data": {"build": "20260101T000000-abcdef"},
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "manifest.json"


def write(path: Path, *builds: Any, last: str) -> None:
    path.write_text(json.dumps({"builds": builds, "last_run_uuid": last}))


def test_the_entry_of_the_last_run_counts_and_not_the_last_entry(path: Path) -> None:
    write(path, entry("two"), entry("one", "us-west-2:ami-00000000"), last="two")
    found = read_manifest(path, after="one")
    assert found.run_uuid == "two"
    assert found.artifacts == {"us-west-2": "ami-0123456789abcdef0"}
    assert found.custom == {"build": "20260101T000000-abcdef"}


def test_several_regions_are_told_apart(path: Path) -> None:
    write(path, entry("a", "eu-west-1:ami-11111111,us-west-2:ami-22222222"), last="a")
    assert read_manifest(path).artifacts == {
        "eu-west-1": "ami-11111111",
        "us-west-2": "ami-22222222",
    }


def test_no_custom_data_is_fine(path: Path) -> None:
    write(path, entry("a") | {"custom_data": None}, last="a")
    assert read_manifest(path).custom == {}


def test_a_run_that_wrote_nothing_is_told_from_the_one_before(path: Path) -> None:
    write(path, entry("one"), last="one")
    assert last_run(path) == "one"
    with pytest.raises(ManifestError, match="0 entries for this run"):
        read_manifest(path, after="one")


def test_no_manifest_yet_has_no_last_run(path: Path) -> None:
    assert last_run(path) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "Packer did not write it"),
        ("{", "cannot be read"),
        ("[]", "no list of builds"),
        ('{"builds": [1]}', "no list of builds"),
        ('{"builds": [], "last_run_uuid": "a"}', "0 entries"),
        ('{"builds": [{"packer_run_uuid": ""}], "last_run_uuid": ""}', "0 entries"),
        (
            '{"builds": [{"packer_run_uuid": "a"}, {"packer_run_uuid": "a"}],'
            ' "last_run_uuid": "a"}',
            "2 entries",
        ),
        (
            '{"builds": [{"packer_run_uuid": "a", "artifact_id": "Null"}],'
            ' "last_run_uuid": "a"}',
            "not region:ami",
        ),
    ],
)
def test_a_manifest_that_does_not_tell_is_an_error_that_names_it(
    path: Path, text: str | None, said: str
) -> None:
    if text is not None:
        path.write_text(text)
    with pytest.raises(ManifestError, match=said) as caught:
        read_manifest(path)
    assert caught.value.where == str(path)
    assert "invoke reap" in caught.value.mend

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from annexkit.bake.digest import (
    Digest,
    combine,
    compute,
    explain,
    of_folder,
    strays,
    summary,
)
from annexkit.errors import UsageError

BODY = 'source_ami = "ami-1"\nx = 1\n'


@pytest.fixture
def trees(tmp_path: Path) -> dict[str, Path]:
    provision, cloud_init = tmp_path / "provision", tmp_path / "cloud-init"
    (provision / "files" / "etc").mkdir(parents=True)
    cloud_init.mkdir()
    (provision / "10-system.sh").write_text("#!/bin/sh\n")
    (provision / "10-system.sh").chmod(0o755)
    (provision / "files" / "etc" / "a.conf").write_text("a = 1\n")
    (cloud_init / "builder.yaml").write_text("#cloud-config\n")
    return {"provision": provision, "cloud-init": cloud_init}


def digest(trees: dict[str, Path], ami: str = "ami-1", version: str = "23.9") -> Digest:
    body = BODY.replace("ami-1", ami)
    return compute(body=body, base_ami=ami, htcondor=version, trees=trees)


def test_it_names_each_thing_an_image_is_made_from(trees: dict[str, Path]) -> None:
    assert set(digest(trees).parts) == {
        *("template", "base AMI", "HTCondor", "cloud-init/builder.yaml"),
        *("provision/10-system.sh", "provision/files/etc/a.conf"),
    }


def test_it_is_the_same_in_another_checkout(
    trees: dict[str, Path], tmp_path: Path
) -> None:
    before = digest(trees)
    for name, folder in trees.items():
        shutil.copytree(folder, tmp_path / "other" / name)
    other = {name: tmp_path / "other" / name for name in reversed(list(trees))}
    for path in (tmp_path / "other").rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(path.stat().st_mode & 0o711 | 0o600)
    assert digest(other) == before
    assert len(before.value) == 64


def test_its_value_is_fixed_for_these_inputs(trees: dict[str, Path]) -> None:
    # A new value here means that every image is baked again: say so in CHANGELOG.md.
    assert digest(trees).value == (
        "c391d537d595dfd880d6bf9aed1b21c5918cac1c404982d182c38ab7adde3f48"
    )


def test_any_change_changes_it_and_is_named(trees: dict[str, Path]) -> None:
    before = digest(trees)
    step = trees["provision"] / "10-system.sh"

    def changed(after: Digest) -> list[str]:
        assert after.value != before.value
        return explain(before.parts, after.parts)

    assert changed(digest(trees, ami="ami-2")) == [
        "base AMI changed from ami-1 to ami-2"
    ]
    assert changed(digest(trees, version="25.14")) == [
        "HTCondor changed from 23.9 to 25.14"
    ]
    step.chmod(0o644)
    assert changed(digest(trees)) == ["provision/10-system.sh changed"]
    step.chmod(0o755)
    step.write_text("#!/bin/bash\n")
    assert changed(digest(trees)) == ["provision/10-system.sh changed"]
    step.rename(step.with_name("11-system.sh"))
    assert changed(digest(trees)) == [
        "provision/10-system.sh is gone",
        "provision/11-system.sh is new",
    ]


def test_equal_digests_have_nothing_to_explain(trees: dict[str, Path]) -> None:
    assert explain(digest(trees).parts, digest(trees).parts) == []


def test_a_summary_has_one_hash_for_each_folder_and_can_be_explained(
    trees: dict[str, Path],
) -> None:
    before = summary(digest(trees).parts)
    assert set(before) == {
        *("template", "base AMI", "HTCondor", "provision", "cloud-init")
    }
    (trees["provision"] / "files" / "etc" / "a.conf").write_text("a = 2\n")
    after = summary(digest(trees, ami="ami-2").parts)
    assert explain(before, after) == [
        "base AMI changed from ami-1 to ami-2",
        "provision changed",
    ]


def test_what_editors_leave_is_not_part_of_it_but_is_told(
    trees: dict[str, Path],
) -> None:
    before = digest(trees)
    provision = trees["provision"]
    (provision / "10-system.sh~").write_text("old")
    (provision / ".#a").symlink_to("nobody@nowhere")
    (provision / "__pycache__").mkdir()
    (provision / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert digest(trees) == before
    names = [path.relative_to(provision).as_posix() for path in strays(provision)]
    assert names == [".#a", "10-system.sh~", "__pycache__", "__pycache__/x.pyc"]


def test_one_folder_alone_has_the_hash_that_the_summary_gives_it(
    trees: dict[str, Path],
) -> None:
    kept = summary(digest(trees).parts)
    for name, folder in trees.items():
        assert of_folder(name, folder) == kept[name]
    (trees["provision"] / "90-new.sh").write_text("x")
    assert of_folder("provision", trees["provision"]) != kept["provision"]


def test_content_that_moves_between_parts_changes_it() -> None:
    assert combine({"a": "b\nc", "d": ""}) != combine({"a": "b", "c": "d"})
    assert combine({"a": "1", "b": "2"}) == combine({"b": "2", "a": "1"})


def test_a_missing_folder_or_dangling_link_is_an_error_of_the_user(
    trees: dict[str, Path],
) -> None:
    (trees["provision"] / "link").symlink_to("nowhere")
    with pytest.raises(UsageError, match="cannot read"):
        digest(trees)
    with pytest.raises(UsageError, match="folder provision/ does not exist"):
        digest({"provision": trees["provision"] / "none"})

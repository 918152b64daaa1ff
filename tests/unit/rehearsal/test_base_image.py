from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from annexkit.errors import AnnexkitError
from annexkit.process import Completed
from annexkit.rehearsal import base_image
from annexkit.rehearsal.base_image import Recipe
from annexkit.rehearsal.podman import Podman
from annexkit.rehearsal.state import BaseImage

RECIPE = Recipe("trixie", "amd64")


class Storage:
    """podman's storage, as far as a base image needs it."""

    def __init__(self) -> None:
        self.imported: list[str] = []

    def has_image(self, ref: str) -> bool:
        return ref in self.imported

    def import_image(self, tarball: Path, ref: str) -> None:
        assert tarball.exists()
        self.imported.append(ref)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The mmdebstrap commands that would have run."""
    commands: list[list[str]] = []

    def follow(command: list[str], progress: Any) -> None:
        commands.append(command)
        Path(command[-1]).write_bytes(b"root file system")

    monkeypatch.setattr(base_image, "_follow", follow)
    return commands


def ensure(recipe: Recipe, cache: Path, storage: Storage) -> BaseImage:
    podman = cast(Podman, storage)
    return base_image.ensure(recipe, cache, podman, lambda _: None)


@pytest.mark.parametrize(
    "change",
    [
        {"suite": "bookworm"},
        {"architecture": "arm64"},
        {"packages": ("sudo",)},
        {"files": ()},
        {"hooks": ()},
        {"options": ('Acquire::http::Proxy "http://p";',)},
    ],
)
def test_whatever_changes_the_image_changes_its_digest(change: dict[str, Any]) -> None:
    assert replace(RECIPE, **change).digest != RECIPE.digest
    assert Recipe("trixie", "amd64").digest == RECIPE.digest


def test_no_mirror_is_named(tmp_path: Path) -> None:
    command = RECIPE.command(tmp_path, tmp_path / "root.tar")
    assert command[-2:] == ["trixie", str(tmp_path / "root.tar")]
    assert not any("http" in word for word in command)


def test_it_is_built_once_and_imported_once(
    tmp_path: Path, built: list[list[str]]
) -> None:
    storage = Storage()
    first = ensure(RECIPE, tmp_path, storage)
    assert ensure(RECIPE, tmp_path, storage) == first
    assert len(built) == 1
    assert storage.imported == [first.ref]


def test_it_is_imported_again_when_podman_lost_it(
    tmp_path: Path, built: list[list[str]]
) -> None:
    first = ensure(RECIPE, tmp_path, Storage())
    storage = Storage()
    assert ensure(RECIPE, tmp_path, storage) == first
    assert (len(built), storage.imported) == (1, [first.ref])


def test_a_build_that_fails_leaves_nothing_that_looks_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(command: list[str], progress: Any) -> None:
        Path(command[-1]).write_bytes(b"half")
        raise AnnexkitError("mmdebstrap failed")

    monkeypatch.setattr(base_image, "_follow", fail)
    with pytest.raises(AnnexkitError):
        ensure(RECIPE, tmp_path, Storage())
    assert not list((tmp_path / "rehearsal").glob("*.tar"))
    assert not list((tmp_path / "rehearsal").glob("build-*"))


def test_it_is_named_as_debian_names_its_images() -> None:
    named = base_image.describe(RECIPE, "ab" * 32, 1_715_947_200)
    assert named.name.startswith("debian-13-amd64-20240517-")
    assert len(named.name.rpartition("-")[2]) == 4
    assert named.ami_id == "ami-" + "ab" * 8 + "a"
    assert named.created == "2024-05-17T12:00:00.000Z"


def test_the_catalogue_shows_debians_own_image() -> None:
    named = base_image.describe(RECIPE, "ab" * 32, 1_715_947_200)
    (ami,) = json.loads(base_image.catalogue(named))
    assert ami["owner_id"] == "136693071363"
    assert (ami["architecture"], ami["root_device_name"]) == ("x86_64", "/dev/xvda")
    arm = base_image.describe(replace(RECIPE, architecture="arm64"), "ab" * 32, 0)
    assert json.loads(base_image.catalogue(arm))[0]["architecture"] == "arm64"


def test_a_proxy_of_this_systems_apt_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    line = 'Acquire::http::Proxy "http://proxy.example:3142";'

    def run(*args: str) -> Completed:
        return Completed(args, 0, f"{line}\n", "")

    monkeypatch.setattr(base_image, "run", run)
    found = base_image.recipe("trixie")
    assert f"--aptopt={line}" in found.command(Path("o"), Path("t"))

from __future__ import annotations

import re
from pathlib import Path

import pytest

from annexkit import __version__
from annexkit.bake.dialect import Dialect
from annexkit.bake.hcl import unwritable
from annexkit.bake.template import render
from annexkit.bake.variables import run_variables
from annexkit.bake.written import write_rendered
from annexkit.errors import AnnexkitError
from annexkit.process import CommandError, run
from tests.unit.bake.samples import (
    BASE,
    PLUGIN,
    RECIPES,
    STEPS,
    recipe,
    run_values,
    strings,
)

OLD, NEW = Dialect.PACKER_1_6, Dialect.PACKER_1_7
pytestmark = pytest.mark.packer


def write(
    folder: Path,
    dialect: Dialect = OLD,
    name: str = "debian13",
    endpoint: str = "",
    arch: str = "x86_64",
) -> None:
    values = run_values(endpoint=endpoint, ssh_interface="private_ip")
    write_rendered(
        folder,
        render(recipe(name), arch, BASE, dialect, amazon_plugin=PLUGIN),
        run_variables(values, dialect),
        digest="d" * 64,
        recipe=f"packer/images/{name}.pkrvars.hcl",
    )


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A build folder inside a project that has all the steps."""
    (tmp_path / "provision").mkdir()
    for step in STEPS:
        (tmp_path / "provision" / f"{step}.sh").write_text("#!/bin/sh\n")
    return tmp_path / "packer" / "build" / "debian13-x86_64-us-west-2"


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize(
    ("endpoint", "arch"), [("", "x86_64"), ("http://127.0.0.1:5000", "arm64")]
)
def test_packer_accepts_the_template_with_and_without_an_endpoint(
    build: Path, name: str, endpoint: str, arch: str
) -> None:
    write(build, OLD, name, endpoint, arch)
    done = run("packer", "validate", f"-var-file={build}/run.pkrvars.hcl", build)
    assert done.exit_code == 0


def test_packer_still_validates_what_it_is_given(build: Path) -> None:
    write(build)
    path = build / "template.pkr.hcl"
    path.write_text(path.read_text().replace("ssh_timeout ", "ssh_timeoutt "))
    done = run(
        "packer",
        *("validate", f"-var-file={build}/run.pkrvars.hcl", build),
        check=False,
    )
    assert done.exit_code == 1


@pytest.mark.parametrize("dialect", list(Dialect))
def test_all_files_are_as_packer_fmt_writes_them(build: Path, dialect: Dialect) -> None:
    write(build, dialect)
    names = {"template.pkr.hcl", "run.pkrvars.hcl"}
    names |= {"plugins.pkr.hcl"} if dialect is NEW else set()
    assert {path.name for path in build.iterdir()} == names
    for path in build.iterdir():
        run("packer", "fmt", "-check", path)


def test_the_header_names_version_recipe_and_digest(build: Path) -> None:
    write(build)
    head = (build / "template.pkr.hcl").read_text().split("\n\n")[0]
    assert __version__ in head
    assert "packer/images/debian13.pkrvars.hcl" in head
    assert re.search("d{64}$", head)


def test_files_of_the_other_dialect_go_and_strangers_stay(build: Path) -> None:
    write(build, NEW)
    (build / "packer.log").write_text("kept")
    write(build, OLD)
    assert {path.name for path in build.iterdir()} == {
        *("template.pkr.hcl", "run.pkrvars.hcl", "packer.log")
    }


def test_writing_twice_gives_the_same_bytes(build: Path) -> None:
    write(build)
    first = {path.name: path.read_bytes() for path in build.iterdir()}
    write(build)
    assert {path.name: path.read_bytes() for path in build.iterdir()} == first


def test_a_packer_that_is_not_there_is_an_error_and_leaves_nothing(build: Path) -> None:
    with pytest.raises(CommandError, match="not installed"):
        write_rendered(
            build,
            render(recipe(), "x86_64", BASE, OLD, amazon_plugin=PLUGIN),
            run_variables(run_values(), OLD),
            digest="d",
            recipe="x",
            packer="no-such-packer",
        )
    assert list(build.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_error_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AnnexkitError, match="cannot write the template"):
        write(tmp_path / "file" / "build")


def test_formatting_changes_no_literal(build: Path) -> None:
    texts = [t for t in strings(200, seed=3) if not unwritable(t)]
    image = recipe(environment={f"V{n}": text for n, text in enumerate(texts)})
    rendered = render(image, "x86_64", BASE, OLD, amazon_plugin=PLUGIN)
    write_rendered(
        build,
        rendered,
        run_variables(run_values(), OLD),
        digest="d",
        recipe="x",
    )
    after = (build / "template.pkr.hcl").read_text()
    lines = [line.strip() for line in rendered.body.splitlines() if '"V' in line]
    assert len(lines) == len(texts)
    assert all(line in after for line in lines)

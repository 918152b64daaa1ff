"""The installed Packer takes every template: init, fmt -check, validate.

Here that is Debian's 1.6.6 and its dialect. ``make check-packer``, which a job of
``.github/workflows/ci.yml`` calls, has a newer one fetched: then ``init`` installs the
plugin that the template pins, and the newer dialect is checked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from annexkit.bake.dialect import Dialect
from annexkit.bake.packer_program import (
    Packer,
    PackerError,
    environment,
    find_packer,
    init,
    validate,
)
from annexkit.bake.template import render
from annexkit.bake.variables import run_variables
from annexkit.bake.written import VARIABLES, write_rendered
from annexkit.process import run
from tests.unit.bake.samples import BASE, PLUGIN, RECIPES, ROOT, recipe, run_values

pytestmark = pytest.mark.packer
# One always; the others where there is time, and where a newer Packer is checked.
OF_RECIPES = [
    pytest.param(
        name,
        arch,
        marks=() if (name, arch) == ("debian13", "x86_64") else pytest.mark.matrix,
    )
    for name in RECIPES
    for arch in recipe(name).instance_type
]
OTHERS = {
    "endpoint": "http://127.0.0.1:1",
    "max_retries": 1,
    "ssh_interface": "private_ip",
    "subnet_id": "subnet-0123456789abcdef0",
    "user_data": "#cloud-config\n# ${HOME} %{ if true } \"'\\\n",
}


@pytest.fixture(scope="module")
def packer() -> Packer:
    return find_packer()


def values_of_runs(packer: Packer) -> Iterator[str]:
    """What changes from run to run, both ways; 1.6 cannot find our address itself."""
    yield run_variables(run_values(), packer.dialect)
    cidrs = () if packer.dialect.plugins else ("203.0.113.0/24", "198.51.100.7/32")
    yield run_variables(run_values(ssh_cidrs=cidrs, **OTHERS), packer.dialect)


def written(folder: Path, packer: Packer, name: str, arch: str) -> Path:
    """Write a template where a bake does: three folders below the top."""
    (folder / "provision").symlink_to(ROOT / "provision")
    place = folder / "packer" / "build" / f"{name}-{arch}-us-west-2"
    write_rendered(
        place,
        render(recipe(name), arch, BASE, packer.dialect, amazon_plugin=PLUGIN),
        run_variables(run_values(), packer.dialect),
        digest="d" * 64,
        recipe=f"packer/images/{name}.pkrvars.hcl",
        packer=packer.path,
    )
    return place


def test_where_the_newer_dialect_is_wanted_it_is_what_is_checked(
    packer: Packer,
) -> None:
    wanted = os.environ.get("ANNEXKIT_REQUIRE_PLUGINS") == "1"
    assert not wanted or packer.dialect is Dialect.PACKER_1_7


@pytest.mark.parametrize(("name", "arch"), OF_RECIPES)
def test_a_template_is_taken_as_it_is_written(
    tmp_path: Path, packer: Packer, name: str, arch: str
) -> None:
    place = written(tmp_path, packer, name, arch)
    init(packer, place)
    run(packer.path, "fmt", "-check", "-diff", place, env=environment())
    for number, text in enumerate(values_of_runs(packer)):
        file = tmp_path / f"{number}.pkrvars.hcl"
        file.write_text(text)
        validate(packer, place, var_file=file)


def test_a_template_that_is_wrong_is_not_taken(tmp_path: Path, packer: Packer) -> None:
    place = written(tmp_path, packer, "debian13", "x86_64")
    template = place / "template.pkr.hcl"
    text = template.read_text()
    template.write_text(text.replace('"amazon-ebs"', '"amazon-none"'))
    with pytest.raises(PackerError, match=r"packer (init|validate) refuses"):
        init(packer, place)
        validate(packer, place, var_file=place / VARIABLES)

"""The registry as a person or a program meets it."""

from __future__ import annotations

import hashlib
import json

import pytest

from annexkit.console import Console
from annexkit.errors import Exit, UsageError
from annexkit.flows.registry_report import check_file, list_amis, show_image
from annexkit.flows.site import Site
from annexkit.registry import Packages, Registry, State, json_schema
from annexkit.registry.edits import promote, put_build
from annexkit.registry.model import Historical
from tests.unit.helpers import AMI, BUILD, REGION, a_build, in_region

Captured = pytest.CaptureFixture[str]
GUIDE = Historical(region="us-east-1", ami="ami-0123abcd", system="Amazon Linux",
                   htcondor="8.4", source="guide")  # fmt: skip


def record(site: Site, listed: str = "") -> None:
    """Put a current build into the registry, with a package list of that text."""
    build = a_build({REGION: in_region(State.READY)})
    if listed:
        (site.root / "r.packages").mkdir()
        (site.root / "r.packages/one.tsv").write_text(listed)
        digest = hashlib.sha256(listed.encode()).hexdigest()
        build.packages = Packages(path="r.packages/one.tsv", sha256=digest)

    def change(registry: Registry) -> None:
        put_build(registry, "debian13", BUILD, build)
        promote(registry, "debian13", BUILD, REGION)
        registry.historical = [GUIDE]

    site.registry.update(change)


def test_the_list_has_every_ami_and_what_is_current(
    site: Site, capsys: Captured
) -> None:
    record(site)
    list_amis(site)
    (line,) = (x for x in capsys.readouterr().out.splitlines() if BUILD in x)
    assert line.split() == [
        *("debian13", "x86_64", REGION, BUILD, AMI, "ready", "current"),
    ]


def test_the_list_as_json_has_the_historical_ones_too(
    site: Site, capsys: Captured
) -> None:
    record(site)
    site.console = Console(as_json=True)
    list_amis(site)
    rows = json.loads(capsys.readouterr().out)
    assert [(r["ami"], r["state"]) for r in rows] == [
        (AMI, "ready"),
        ("ami-0123abcd", "historical"),
    ]


def test_an_image_is_shown_with_its_provenance(site: Site, capsys: Captured) -> None:
    record(site)
    show_image(site, "")
    said = capsys.readouterr().out
    assert f"build {BUILD}" in said
    assert f"{AMI} debian-13" in said, "the base AMI"


def test_with_the_contracts_stands_which_pools_they_are_of_use_in(
    site: Site, capsys: Captured
) -> None:
    record(site)
    build = site.registry.read().images["debian13"].builds[BUILD]
    found = build.model_copy(
        update={"contracts": ["annexkit", "annex-ec2"], "htcondor": "23.9.6"}
    )
    site.registry.update(
        lambda registry: registry.images["debian13"].builds.update({BUILD: found})
    )
    show_image(site, "")
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "annexkit, annex-ec2; for pools of HTCondor 23.9 or newer" in said


def test_an_image_as_json_is_what_the_registry_holds(
    site: Site, capsys: Captured
) -> None:
    record(site)
    site.console = Console(as_json=True)
    show_image(site, "debian13")
    told = json.loads(capsys.readouterr().out)
    assert told["channels"]["x86_64"][REGION]["current"] == BUILD


def test_an_image_that_is_not_there_gets_the_nearest_name(site: Site) -> None:
    record(site)
    with pytest.raises(UsageError, match="no image 'debain13'") as caught:
        show_image(site, "debain13")
    assert caught.value.mend == "did you mean 'debian13'?"


def test_a_registry_that_fits_all_beside_it_passes(site: Site) -> None:
    record(site, "condor\t1\tamd64\n")
    (site.root / "r.schema.json").write_text(json_schema())
    assert check_file(site) == Exit.DONE


def test_a_changed_package_list_fails_the_check(site: Site, capsys: Captured) -> None:
    record(site, "condor\t1\tamd64\n")
    (site.root / "r.packages/one.tsv").write_text("condor\t2\tamd64\n")
    site.console = Console(as_json=True)
    assert check_file(site) == Exit.FAILED
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert f"package list of build {BUILD}" in told["findings"][0]


def test_a_file_that_only_looks_different_is_a_warning(
    site: Site, capsys: Captured
) -> None:
    record(site)
    path = site.registry.path
    path.write_text(json.dumps(json.loads(path.read_text())))
    assert check_file(site) == Exit.DONE
    assert "warning: " in capsys.readouterr().err

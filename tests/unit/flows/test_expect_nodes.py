from __future__ import annotations

from pathlib import Path

import pytest

from annexkit import tags
from annexkit.flows import bake_plan
from annexkit.flows.expect_nodes import expectation
from annexkit.flows.site import Site
from annexkit.instances import Instance
from annexkit.registry.edits import put_build
from annexkit.settings import Settings
from tests.unit.helpers import ACCOUNT, BUILD, DIGEST, REGION, FakeClock, a_build

TABLES = ("files", "units", "hygiene")


class Recipe:
    ssh_user = "admin"
    family = "el"
    packages = ("fetch-crl",)


@pytest.fixture
def site(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Site:
    (tmp_path / "provision").mkdir()
    for name in TABLES:
        (tmp_path / "provision" / f"{name}.tsv").write_text(f"# {name}\n")
    monkeypatch.setattr(bake_plan, "read_image", lambda *_: Recipe)
    site = Site(Settings(registry="r.json"), tmp_path, clock=clock)
    site.registry.update(site.registry.claim(ACCOUNT, "aws"))
    build = a_build().model_copy(
        update={"htcondor": "25.14.1", "contracts": ["annexkit"]}
    )
    site.registry.update(lambda r: put_build(r, "debian13", BUILD, build))
    return site


def node(**changes: str) -> Instance:
    said = {
        tags.IMAGE: "debian13",
        tags.FROM_BUILD: BUILD,
        tags.EXPIRES: "1700003600",
    }
    return Instance("i-1", REGION, "running", tags=said | changes)


def test_a_node_should_be_what_its_tags_and_the_registry_say(site: Site) -> None:
    found = expectation(site, patience=30)(node())
    assert (found.mode, found.contract, found.family) == ("pool", "annexkit", "el")
    assert found.packages == ("fetch-crl",)
    assert (found.build, found.image) == (BUILD, "debian13")
    assert (found.digest, found.htcondor) == (DIGEST, "25.14.1")
    assert found.lease_expires == 1_700_003_600
    assert found.now == site.clock.time()
    assert (found.job_user, found.patience) == ("admin", 30)
    assert [getattr(found, name) for name in TABLES] == [f"# {n}\n" for n in TABLES]


def test_a_build_of_another_checkout_is_compared_by_its_id_alone(site: Site) -> None:
    other = "20200101T000000-000000"
    found = expectation(site)(node(**{tags.FROM_BUILD: other}))
    assert (found.build, found.digest, found.htcondor) == (other, "", "")


def test_the_time_is_that_of_the_checks_not_of_the_plan(site: Site) -> None:
    expected = expectation(site)
    site.clock.sleep(60)
    assert expected(node()).now == site.clock.time()

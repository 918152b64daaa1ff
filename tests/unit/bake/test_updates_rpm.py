"""Updates of an image of family ``el``: the repositories that its recipe names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexkit.bake.recipe import Image
from annexkit.bake.updates import Updates, pending
from annexkit.bake.updates_rpm import Stock, newer
from tests.unit.bake.repo import Served, serve
from tests.unit.bake.rpm_repo import Evr, RpmRepo
from tests.unit.bake.samples import recipe

BASE = "the base AMI's own repositories (baseos, appstream or the like): only the AMI"
CRB = "repository 'crb' of the base AMI: only the AMI knows the address"
OSG: dict[str, Evr] = {"condor": ("0", "25.0.4", "1.el9"), "voms": ("0", "2.1", "1")}
EPEL: dict[str, Evr] = {"condor": ("0", "99.0", "1.el9"), "munge": ("0", "0.5", "1")}
BUILT = {"condor": "25.0.4-1.el9", "voms": "2.1-1", "munge": "0.5-1", "glibc": "2.34-1"}


class World:
    """OSG's and EPEL's repositories on loopback, and an image that uses both."""

    def __init__(self, folder: Path, server: Served) -> None:
        self.folder = folder
        self.server = server
        self.osg = RpmRepo(folder / "osg")
        self.epel = RpmRepo(folder / "epel")
        self.osg.offer(OSG)
        self.epel.offer(EPEL)
        image = recipe("alma9-osg")
        here = {
            name: found.model_copy(update={"url": f"{server.uri}{name}"})
            for name, found in image.repositories.items()
        }
        self.image = image.model_copy(update={"repositories": here})

    def pending(
        self,
        listed: Mapping[str, str],
        image: Image | None = None,
        arch: str = "x86_64",
    ) -> Updates:
        image = image or self.image
        return pending(image, arch, listed, cache_dir=self.folder / "cache")

    def found(self, listed: Mapping[str, str]) -> list[str]:
        """Return what is pending, in short; the recipe's repositories answered."""
        updates = self.pending(listed)
        assert len(updates.unchecked) == 2
        return [f"{u.name} {u.installed} {u.offered}" for u in updates.found]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with serve(tmp_path) as server:
        yield World(tmp_path, server)


def test_the_base_amis_own_repositories_are_never_checked(world: World) -> None:
    updates = world.pending(BUILT)
    assert (updates.found, updates.compared, updates.unknown) == ((), 3, 1)
    first, second = updates.unchecked
    assert first.startswith(BASE)
    assert second == CRB


def test_updates_are_compared_as_rpm_does(world: World) -> None:
    world.osg.offer({**OSG, "voms": ("0", "2.1^git", "1")})
    world.epel.offer({**EPEL, "munge": ("1", "0.4", "1")})
    assert world.found(BUILT) == ["munge 0.5-1 1:0.4-1", "voms 2.1-1 2.1^git-1"]


def test_an_epoch_of_0_makes_no_update(world: World) -> None:
    assert world.found({**BUILT, "voms": "0:2.1-1"}) == []


def test_a_package_counts_from_the_repository_that_dnf_prefers(world: World) -> None:
    # EPEL has condor 99.0: never to be had while OSG's comes first.
    world.osg.offer({**OSG, "condor": ("0", "25.0.5", "1.el9")})
    assert world.found(BUILT) == ["condor 25.0.4-1.el9 25.0.5-1.el9"]


def test_what_comes_after_a_repository_that_cannot_be_read_does_not_count(
    world: World,
) -> None:
    (world.osg.root / "repodata" / "repomd.xml").unlink()
    updates = world.pending(BUILT)
    assert (updates.found, updates.unknown) == ((), 4)
    assert updates.unchecked[0].startswith("repository 'osg': cannot fetch http://")
    assert updates.unchecked[1] == "repository 'epel' comes after 'osg'"


def test_what_comes_before_it_does(world: World) -> None:
    (world.epel.root / "repodata" / "repomd.xml").write_text("no XML")
    updates = world.pending({**BUILT, "voms": "2.0-1"})
    assert [u.name for u in updates.found] == ["voms"]
    assert updates.unchecked[0].startswith("repository 'epel': cannot fetch")
    assert "not a repository's index" in updates.unchecked[0]
    assert len(updates.unchecked) == 3


def test_htcondors_own_repository_comes_first_and_knows_the_architecture(
    world: World,
) -> None:
    RpmRepo(world.folder / "chtc" / "aarch64").offer(
        {"condor": ("0", "24.0.21", "1.el9")}, arch="aarch64"
    )
    image = recipe("alma9")
    condor = image.htcondor.model_copy(
        update={"url": f"{world.server.uri}chtc/$basearch"}
    )
    here = {"epel": world.image.repositories["epel"]}
    image = image.model_copy(update={"htcondor": condor, "repositories": here})
    updates = world.pending({"condor": "24.0.20-1.el9"}, image, "arm64")
    assert [u.offered for u in updates.found] == ["24.0.21-1.el9"]
    updates = world.pending({"condor": "24.0.20-1.el9"}, image, "x86_64")
    assert updates.found == ()
    assert updates.unchecked[0].startswith("repository 'htcondor': cannot fetch")


def test_a_second_look_makes_conditional_requests_only(world: World) -> None:
    before = world.pending(BUILT)
    world.server.asked.clear()
    assert world.pending(BUILT) == before
    assert sorted(world.server.asked) == [
        ("/epel/repodata/repomd.xml", 304),
        ("/osg/repodata/repomd.xml", 304),
    ]


def test_a_version_that_cannot_be_compared_is_said(world: World) -> None:
    updates = world.pending({"voms": "x:1-1"})
    assert updates.unchecked[-1] == "versions that cannot be compared: voms"
    assert (updates.found, updates.compared, updates.unknown) == ((), 0, 0)


VERSIONS = st.sampled_from(["1-1", "1-2", "1~rc1-1", "1^git-1", "2-1.el9", "1:0-1"])
RANKS = st.lists(st.dictionaries(st.sampled_from(["a", "condor"]), VERSIONS))


@given(RANKS, VERSIONS)
def test_what_is_installed_from_an_offer_is_offered_no_more(
    ranks: list[dict[str, str]], installed: str
) -> None:
    stock = Stock(tuple(ranks), ())
    offered = stock.offer("a", installed)
    first = next((rank["a"] for rank in ranks if "a" in rank), "")
    assert bool(offered) == bool(first)
    if offered:
        assert offered == newer(installed, first)
        assert stock.offer("a", offered) == offered

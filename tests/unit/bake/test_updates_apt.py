"""Updates of packages that come from beside the release, or from another release."""

from __future__ import annotations

from pathlib import Path

import pytest

from annexkit.bake import updates_apt
from annexkit.bake.recipe import Image
from annexkit.bake.updates import Updates
from tests.unit.bake.repo import Repo
from tests.unit.bake.samples import recipe
from tests.unit.bake.stocked import RELEASE, SID, Machine

FROM_SID = {**RELEASE, "condor": "25.14.1-1", "libnew": "3-1", "libc6": "2.42-1"}
# What HTCondor's own repository has, and a build that took two of it.
HAS = {"condor": "23.0.5-1", "libpelican": "1-1", "zstd": "1.5.6-1"}
BUILT = {"condor": "23.0.5-1", "libpelican": "1-1", "libc6": "2.41-12"}
PAST = "Fri, 06 Nov 2020 08:08:01 UTC"


@pytest.fixture(autouse=True)
def on_bookworm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updates_apt, "codename", lambda: "bookworm")
    monkeypatch.setattr(updates_apt, "distribution", lambda: "debian")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def unstable() -> Image:
    return recipe("debian13-c25")


def upstream_at(uri: str, image: Image, suite: str) -> Image:
    told = {"source": "upstream", "url": uri, "suite": suite, "component": "main"}
    wanted = image.htcondor.model_copy(update=told)
    return image.model_copy(update={"htcondor": wanted})


class TestUnstable:
    """HTCondor from unstable: only what the build took from there is unstable's."""

    def newer(self, machine: Machine, **versions: str) -> None:
        machine.debian.offer("sid", {**SID, **versions}.items())

    def test_what_the_release_has_is_not_unstables_to_update(
        self, machine: Machine
    ) -> None:
        # zstd is newer in unstable, and the build has the release's.
        assert machine.found(FROM_SID, unstable()) == []

    def test_what_came_from_unstable_is(self, machine: Machine) -> None:
        self.newer(machine, condor="25.15.0-1", libnew="4-1", libc6="2.43-1")
        assert machine.found(FROM_SID, unstable()) == [
            "condor 25.14.1-1 25.15.0-1",
            "libc6 2.42-1 2.43-1",
            "libnew 3-1 4-1",
        ]

    def test_the_releases_own_updates_count_as_ever(self, machine: Machine) -> None:
        machine.debian.offer("trixie-security", [("zstd", "1.5.7-1+deb13u1")])
        assert machine.found(FROM_SID, unstable()) == ["zstd 1.5.7-1 1.5.7-1+deb13u1"]
        built = {**FROM_SID, "zstd": "1.5.7-1+deb13u1"}
        assert machine.found(built, unstable()) == []

    def test_a_mirror_that_lags_behind_makes_nothing_unstables(
        self, machine: Machine
    ) -> None:
        # The builder's mirror had this update already; ours has not.
        built = {**FROM_SID, "zstd": "1.5.7-1+deb13u2"}
        assert machine.found(built, unstable()) == []

    def test_what_came_from_backports_is_not_unstables(self, machine: Machine) -> None:
        self.newer(machine, tool="3-1")
        built = {**FROM_SID, "tool": "2-1~bpo13+1", "zstd": "1.5.9-1~bpo13+1"}
        assert machine.found(built, unstable()) == []
        assert machine.pending(built, unstable()).unknown == 0

    def test_the_release_may_have_overtaken_unstable(self, machine: Machine) -> None:
        machine.debian.offer("trixie-updates", [("libc6", "2.44-1")])
        assert machine.found(FROM_SID, unstable()) == ["libc6 2.42-1 2.44-1"]

    def test_htcondor_itself_is_unstables_even_if_the_release_has_this_one(
        self, machine: Machine
    ) -> None:
        machine.debian.offer("trixie-updates", [("condor", "25.14.1-1")])
        self.newer(machine, condor="25.15.0-1")
        assert machine.found(FROM_SID, unstable()) == ["condor 25.14.1-1 25.15.0-1"]

    @pytest.mark.parametrize("suite", ["trixie", "trixie-updates", "trixie-security"])
    def test_without_all_of_the_release_only_htcondor_is_known_to_be_unstables(
        self, machine: Machine, suite: str
    ) -> None:
        self.newer(machine, condor="25.15.0-1", libnew="4-1", libc6="2.43-1")
        (machine.debian.root / "dists" / suite / "InRelease").unlink()
        updates = machine.pending(FROM_SID, unstable())
        assert [u.name for u in updates.found] == ["condor"]
        assert updates.unchecked == (f"none of the mirrors has suite '{suite}'",)

    def test_a_release_that_ran_out_is_not_all_of_it(self, machine: Machine) -> None:
        self.newer(machine, libnew="4-1")
        machine.debian.offer("trixie-security", valid_until=PAST)
        updates = machine.pending(FROM_SID, unstable())
        assert updates.found == ()
        assert "trixie-security/ was good until 2020-11-06" in updates.unchecked[0]

    def test_an_unstable_that_ran_out_counts_and_is_said(
        self, machine: Machine
    ) -> None:
        machine.debian.offer("sid", [("condor", "25.15.0-1")], valid_until=PAST)
        updates = machine.pending(FROM_SID, unstable())
        assert [u.name for u in updates.found] == ["condor"]
        assert "sid/ was good until 2020-11-06" in updates.unchecked[0]


class TestUpstream:
    """HTCondor's own repository comes before the release."""

    @pytest.fixture
    def upstream(self, machine: Machine) -> Repo:
        repo = Repo(machine.folder / "upstream")
        repo.offer("trixie", HAS.items(), origin="HTCondor")
        return repo

    def image(self, repo: Repo) -> Image:
        return upstream_at(repo.uri, recipe(), "trixie")

    def test_an_older_htcondor_from_there_is_no_update_to_the_releases(
        self, machine: Machine, upstream: Repo
    ) -> None:
        assert machine.found(BUILT, self.image(upstream)) == []
        older = {**BUILT, "zstd": "1.5.6-1"}
        assert machine.found(older, self.image(upstream)) == []

    def test_its_own_updates_count(self, machine: Machine, upstream: Repo) -> None:
        newer = {**HAS, "condor": "23.0.6-1", "libpelican": "2-1"}
        upstream.offer("trixie", newer.items(), origin="HTCondor")
        assert machine.found(BUILT, self.image(upstream)) == [
            "condor 23.0.5-1 23.0.6-1",
            "libpelican 1-1 2-1",
        ]

    def test_what_is_newer_than_all_it_has_came_from_the_release(
        self, machine: Machine, upstream: Repo
    ) -> None:
        built = {**BUILT, "zstd": "1.5.6-2"}
        assert machine.found(built, self.image(upstream)) == ["zstd 1.5.6-2 1.5.7-1"]

    def test_its_versions_may_look_like_the_releases(
        self, machine: Machine, upstream: Repo
    ) -> None:
        newer = {**HAS, "zstd": "1.5.6-2+deb13u1"}
        upstream.offer("trixie", newer.items(), origin="HTCondor")
        built = {**BUILT, "zstd": "1.5.6-1+deb13u1"}
        assert machine.found(built, self.image(upstream)) == [
            "zstd 1.5.6-1+deb13u1 1.5.6-2+deb13u1"
        ]

    def test_what_it_withdrew_is_no_update(
        self, machine: Machine, upstream: Repo
    ) -> None:
        built = {**BUILT, "condor": "23.0.7-1", "libpelican": "2-1"}
        assert machine.found(built, self.image(upstream)) == []

    def test_what_the_base_ami_has_of_the_release_stays_the_releases(
        self, machine: Machine, upstream: Repo
    ) -> None:
        newer = {**HAS, "zstd": "9-1"}
        upstream.offer("trixie", newer.items(), origin="HTCondor")
        built = {**BUILT, "zstd": RELEASE["zstd"]}
        assert machine.found(built, self.image(upstream)) == []

    def test_nothing_counts_while_it_cannot_be_read(
        self, machine: Machine, upstream: Repo
    ) -> None:
        machine.debian.offer("trixie-security", [("libc6", "2.41-12+deb13u1")])
        assert machine.found(BUILT, self.image(upstream))
        (upstream.root / "dists" / "trixie" / "InRelease").unlink()
        updates = machine.pending(BUILT, self.image(upstream))
        assert updates == Updates(
            (),
            (
                "none of the mirrors has suite 'trixie'",
                "'trixie' comes after what could not be read",
            ),
            unknown=3,
        )

    def test_it_is_asked_on_a_machine_without_sources_too(
        self, machine: Machine, upstream: Repo
    ) -> None:
        (machine.apt / "sources.list").unlink()
        built = {**BUILT, "condor": "23.0.4-1"}
        updates = machine.pending(built, self.image(upstream))
        assert [u.name for u in updates.found] == ["condor"]
        assert len(updates.unchecked) == 3


class TestUbuntu:
    @pytest.fixture(autouse=True)
    def on_ubuntu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(updates_apt, "codename", lambda: "jammy")
        monkeypatch.setattr(updates_apt, "distribution", lambda: "ubuntu")

    def mirror(self, machine: Machine) -> Repo:
        """Make a mirror whose suites have one package in each component."""
        repo = Repo(machine.folder / "ubuntu")
        kinds = ("", "-updates", "-security")
        for kind in kinds:
            release, text = repo.root / "dists" / f"noble{kind}" / "InRelease", ""
            for component in updates_apt.COMPONENTS["ubuntu"]:
                package = (f"in-{component}", f"2{kind.replace('-', '+')}-1")
                name = f"noble{kind}"
                repo.offer(name, [package], origin="Ubuntu", component=component)
                text += release.read_text()
            release.write_text(text)
        lines = [f"deb {repo.uri} jammy{kind} main universe\n" for kind in kinds]
        (machine.apt / "sources.list").write_text("".join(lines))
        return repo

    def test_all_components_count_as_they_do_on_its_amis(
        self, machine: Machine
    ) -> None:
        self.mirror(machine)
        listed = {"in-main": "2-1", "in-universe": "2+updates-1", "in-restricted": "3"}
        assert machine.found(listed, recipe("ubuntu2404")) == [
            "in-main 2-1 2+updates-1",
        ]

    def test_the_release_is_known_by_the_base_amis_name(self, machine: Machine) -> None:
        repo = self.mirror(machine)
        image = upstream_at(repo.uri, recipe("ubuntu2404"), "noble")
        assert machine.found({"in-universe": "1-1"}, image) == [
            "in-universe 1-1 2+updates-1"
        ]

    def test_a_debian_image_cannot_be_checked_there(self, machine: Machine) -> None:
        self.mirror(machine)
        updates = machine.pending(RELEASE)
        assert updates.unchecked == tuple(
            f"none of the mirrors has suite 'trixie{kind}'"
            for kind in ("", "-updates", "-security")
        )

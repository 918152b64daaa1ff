from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from annexkit.bake import index
from annexkit.bake.index import Checked, Unchecked, offered, series_findings
from annexkit.bake.recipe import HTCondor, Image
from annexkit.errors import Level, UsageError
from tests.unit.bake.repo import Repo, serve
from tests.unit.bake.rpm_repo import RpmRepo
from tests.unit.bake.samples import recipe

UPSTREAM = {
    "component": "main",
    "key_url": "https://example.com/key.asc",
    "key_sha256": "0" * 64,
}


@pytest.fixture(autouse=True)
def on_bookworm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "codename", lambda: "bookworm")
    monkeypatch.setattr(index, "distribution", lambda: "debian")


def condor(source: str = "distro", suite: str = "trixie", **more: Any) -> HTCondor:
    return HTCondor.model_validate({"source": source, "suite": suite, **more})


class Machine:
    """Apt sources and a cache of a machine of our own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.apt = folder / "apt"
        self.apt.mkdir()

    def repo(self, name: str) -> Repo:
        return Repo(self.folder / name)

    def sources(self, *lines: str) -> None:
        text = "".join(f"deb {line} main\n" for line in lines)
        (self.apt / "sources.list").write_text(text)

    def offered(self, wanted: HTCondor, arch: str = "x86_64") -> Checked | Unchecked:
        image = recipe(htcondor=wanted)
        return offered(image, arch, cache_dir=self.folder / "cache", apt_dir=self.apt)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def version(offer: Checked | Unchecked) -> str:
    assert isinstance(offer, Checked), offer
    return offer.version


def reason(offer: Checked | Unchecked) -> str:
    assert isinstance(offer, Unchecked), offer
    return offer.reason


def test_the_recipes_suite_is_read_from_the_machines_own_mirror(
    machine: Machine,
) -> None:
    repo = machine.repo("debian")
    repo.publish("bookworm", "10.0")
    repo.publish("trixie", "23.9.6")
    repo.publish("sid", "25.14.1")
    machine.sources(f"{repo.uri} bookworm")
    assert version(machine.offered(condor())) == "23.9.6"
    newer = machine.offered(condor("distro-unstable", "sid"))
    assert version(newer) == "25.14.1"
    assert isinstance(newer, Checked)
    assert (newer.suite, newer.uri) == ("sid", repo.uri)


def test_updates_and_security_count_where_the_machine_names_them(
    machine: Machine,
) -> None:
    repo, security = machine.repo("debian"), machine.repo("security")
    repo.publish("trixie", "23.9.6-1")
    security.publish("trixie-security", "23.9.6-1+deb13u1")
    security.publish("sid-security", "99")
    machine.sources(
        f"{security.uri} bookworm-security",  # first: the order must not matter
        f"{repo.uri} bookworm",
        f"{repo.uri} bookworm-updates",  # has no trixie-updates: that is normal
    )
    assert version(machine.offered(condor())) == "23.9.6-1+deb13u1"
    machine.sources(f"{repo.uri} bookworm")
    assert version(machine.offered(condor())) == "23.9.6-1"
    repo.publish("sid", "25.14.1")
    machine.sources(f"{security.uri} bookworm-security", f"{repo.uri} bookworm")
    assert version(machine.offered(condor("distro-unstable", "sid"))) == "25.14.1"


def test_another_vendors_repository_of_the_same_name_is_passed_over(
    machine: Machine,
) -> None:
    vendor, repo = machine.repo("vendor"), machine.repo("debian")
    vendor.publish("trixie", "99", origin="Vendor")
    repo.publish("trixie", "23.9.6")
    machine.sources(f"{vendor.uri} bookworm", f"{repo.uri} bookworm")
    assert version(machine.offered(condor())) == "23.9.6"


def test_the_next_mirror_answers_when_the_first_is_down(machine: Machine) -> None:
    repo = machine.repo("debian")
    repo.publish("trixie", "23.9.6")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        down = f"http://127.0.0.1:{closed.getsockname()[1]}/debian"
        machine.sources(f"{down} bookworm", f"{repo.uri} bookworm")
        assert version(machine.offered(condor())) == "23.9.6"
        machine.sources(f"{down} bookworm", f"file:{machine.folder}/none bookworm")
        assert "Connection refused" in reason(machine.offered(condor()))


def test_a_security_mirror_that_is_down_leaves_it_unchecked(machine: Machine) -> None:
    # What it holds may be newer: a digest over the rest would prove nothing.
    repo, security = machine.repo("debian"), machine.repo("security")
    repo.publish("trixie", "23.9.6")
    security.root.mkdir()
    with serve(security.root) as server:
        server.answer = 503
        machine.sources(f"{repo.uri} bookworm", f"{server.uri} bookworm-security")
        assert "HTTP 503" in reason(machine.offered(condor()))


def test_a_machine_without_sources_of_a_distribution_cannot_check(
    machine: Machine,
) -> None:
    assert "no apt source" in reason(machine.offered(condor()))
    machine.sources(f"{machine.repo('x').uri} jammy")
    assert "names this machine's distribution" in reason(machine.offered(condor()))


def test_mirrors_that_lack_the_suite_cannot_check(machine: Machine) -> None:
    machine.sources(f"{machine.repo('debian').uri} bookworm")
    assert "has suite 'trixie'" in reason(machine.offered(condor()))


def test_a_corrupted_index_leaves_it_unchecked(machine: Machine) -> None:
    repo = machine.repo("debian")
    repo.publish("trixie", "23.9.6", by_hash=False).write_bytes(b"?")
    machine.sources(f"{repo.uri} bookworm")
    assert "not what the release file lists" in reason(machine.offered(condor()))


def test_a_suite_without_htcondor_is_an_error_of_the_recipe(machine: Machine) -> None:
    repo = machine.repo("debian")
    repo.publish("trixie")
    machine.sources(f"{repo.uri} bookworm")
    with pytest.raises(UsageError, match="no package 'condor' for arm64"):
        machine.offered(condor(), "arm64")
    with pytest.raises(UsageError, match="no package 'condor'") as caught:
        machine.offered(condor())
    assert caught.value.where == f"{repo.uri}dists/trixie/"


def test_upstreams_repository_is_the_one_of_the_recipe(machine: Machine) -> None:
    repo = machine.repo("upstream")
    repo.publish("trixie", "24.0.1", origin="HTCondor", arch="arm64")
    with serve(repo.root) as server:
        wanted = condor("upstream", url=server.uri.rstrip("/"), **UPSTREAM)
        assert version(machine.offered(wanted, "arm64")) == "24.0.1"
        asked = len(server.asked)
        assert version(machine.offered(wanted, "arm64")) == "24.0.1"
        assert server.asked[asked:] == [("/dists/trixie/InRelease", 304)]


class TestRpm:
    """Images of family ``el``: the address stands in the recipe."""

    def alma(self, url: str, **more: Any) -> Image:
        told = {"url": url, "key_url": "https://example.com/key", **more}
        wanted = condor("upstream", "el9", key_fingerprint="A" * 40, **told)
        return recipe("alma9", htcondor=wanted)

    def asked(self, machine: Machine, image: Image, arch: str) -> Checked | Unchecked:
        return offered(image, arch, cache_dir=machine.folder / "cache")

    def test_the_architecture_is_a_part_of_the_address(self, machine: Machine) -> None:
        repo = RpmRepo(machine.folder / "rpm" / "aarch64")
        repo.publish(("0", "24.0.20", "1.el9"), arch="aarch64")
        with serve(machine.folder / "rpm") as server:
            image = self.alma(f"{server.uri}$basearch")
            offer = self.asked(machine, image, "arm64")
            assert version(offer) == "24.0.20-1.el9"
            assert isinstance(offer, Checked)
            assert (offer.suite, offer.uri) == ("el9", f"{server.uri}aarch64")
            assert series_findings(condor(series="24.0"), offer) == []
            with pytest.raises(UsageError, match="no repository 'el9' for x86_64"):
                self.asked(machine, image, "x86_64")

    def test_htcondor_comes_from_the_repository_that_the_recipe_names(
        self, machine: Machine
    ) -> None:
        for name, newest in (("osg", "25.0.4"), ("epel", "99.0")):
            repo = RpmRepo(machine.folder / name)
            repo.publish(("0", newest, "1.el9"), arch="x86_64")
        with serve(machine.folder) as server:
            image = recipe("alma9-osg")
            here = {
                name: found.model_copy(update={"url": f"{server.uri}{name}"})
                for name, found in image.repositories.items()
            }
            image = image.model_copy(update={"repositories": here})
            assert version(self.asked(machine, image, "x86_64")) == "25.0.4-1.el9"

    def test_a_repository_without_htcondor_is_an_error_of_the_recipe(
        self, machine: Machine
    ) -> None:
        RpmRepo(machine.folder / "rpm").publish()
        with (
            serve(machine.folder / "rpm") as server,
            pytest.raises(UsageError, match="no package 'condor' for x86_64") as caught,
        ):
            self.asked(machine, self.alma(server.uri), "x86_64")
        assert caught.value.where == server.uri

    def test_a_repository_that_cannot_be_read_leaves_it_unchecked(
        self, machine: Machine
    ) -> None:
        with serve(machine.folder) as server:
            server.answer = 503
            found = self.asked(machine, self.alma(server.uri), "x86_64")
            assert "HTTP 503" in reason(found)


class TestUbuntu:
    """On a machine that is Ubuntu, its mirrors are Ubuntu's."""

    @pytest.fixture(autouse=True)
    def on_ubuntu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(index, "codename", lambda: "jammy")
        monkeypatch.setattr(index, "distribution", lambda: "ubuntu")

    def test_htcondor_lies_in_universe_and_the_origin_is_ubuntu(
        self, machine: Machine
    ) -> None:
        repo = machine.repo("ubuntu")
        packed = repo.publish("noble", "23.4.0+dfsg-1ubuntu4", origin="Ubuntu")
        suite = packed.parents[2]
        (suite / "main").rename(suite / "universe")
        release = suite / "InRelease"
        release.write_text(release.read_text().replace(" main/", " universe/"))
        machine.sources(f"{repo.uri} jammy")
        wanted = condor("distro", "noble", series="23.4")
        offer = machine.offered(wanted)
        assert version(offer) == "23.4.0+dfsg-1ubuntu4"
        assert series_findings(wanted, offer) == []
        # Other architectures lie on servers that no source here names.
        assert "hold nothing for arm64" in reason(machine.offered(wanted, "arm64"))

    def test_a_debian_image_cannot_be_checked_there(self, machine: Machine) -> None:
        repo = machine.repo("ubuntu")
        repo.publish("noble", "23.4.0", origin="Ubuntu")
        machine.sources(f"{repo.uri} jammy")
        assert "has suite 'trixie'" in reason(machine.offered(condor()))


class TestSeries:
    @pytest.mark.parametrize(
        ("series", "has"),
        [
            ("23.9", "23.9.6+dfsg-2"),
            ("", "1"),
            ("23", "23.1"),
            ("24.0.1", "1:24.0.1-1"),
        ],
    )
    def test_a_version_that_begins_with_it_fits(self, series: str, has: str) -> None:
        offer = Checked(has, "trixie", "file:/x/", "0")
        assert series_findings(condor(series=series), offer) == []

    @pytest.mark.parametrize(
        ("series", "has"), [("23.9", "23.90.1"), ("23.9", "25.14.1"), ("2", "23.9")]
    )
    def test_any_other_is_an_error_that_names_both(self, series: str, has: str) -> None:
        offer = Checked(has, "sid", "file:/x/", "0")
        (found,) = series_findings(condor(series=series), offer)
        assert found.level is Level.ERROR
        assert found.what == f"HTCondor {series} is wanted, sid has {has}"
        expected = ".".join(has.split(".")[:2])
        assert f"set htcondor.series to {expected}," in found.mend

    def test_what_could_not_be_checked_is_a_warning_that_says_why(self) -> None:
        (found,) = series_findings(condor(), Unchecked("no network"))
        assert found.level is Level.WARNING
        assert found.what.endswith("was not checked: no network")

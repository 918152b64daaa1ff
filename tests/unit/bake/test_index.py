from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from annexkit.bake import index
from annexkit.bake.index import Checked, Unchecked, offered, series_findings
from annexkit.bake.recipe import HTCondor
from annexkit.errors import Level, UsageError
from tests.unit.bake.repo import Repo, serve

UPSTREAM = {
    "component": "main",
    "key_url": "https://example.com/key.asc",
    "key_sha256": "0" * 64,
}


@pytest.fixture(autouse=True)
def on_bookworm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "codename", lambda: "bookworm")


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
        return offered(wanted, arch, cache_dir=self.folder / "cache", apt_dir=self.apt)


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

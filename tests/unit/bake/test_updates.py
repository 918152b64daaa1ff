"""A build's package list against the repositories that a bake of today would read."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexkit.bake import updates_apt
from annexkit.bake.newest import newer
from annexkit.bake.updates import Update, Updates, as_listed
from annexkit.bake.updates_apt import Stock
from tests.unit.bake.repo import serve
from tests.unit.bake.samples import recipe
from tests.unit.bake.stocked import RELEASE, SID, Machine


@pytest.fixture(autouse=True)
def on_bookworm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updates_apt, "codename", lambda: "bookworm")
    monkeypatch.setattr(updates_apt, "distribution", lambda: "debian")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


class TestRelease:
    """HTCondor from the release: everything is the release's."""

    def test_nothing_is_pending_for_what_the_release_has(
        self, machine: Machine
    ) -> None:
        assert machine.pending(RELEASE) == Updates((), (), compared=3)

    def test_updates_and_security_updates_count(self, machine: Machine) -> None:
        machine.debian.offer("trixie-updates", [("zstd", "1.5.7-1+deb13u1")])
        machine.debian.offer("trixie-security", [("libc6", "2.41-12+deb13u1")])
        assert machine.pending(RELEASE).found == (
            Update("libc6", "2.41-12", "2.41-12+deb13u1"),
            Update("zstd", "1.5.7-1", "1.5.7-1+deb13u1"),
        )

    def test_an_update_of_the_release_itself(self, machine: Machine) -> None:
        machine.debian.offer("trixie", [("condor", "23.10.1-1"), ("zstd", "1.5.7-1")])
        assert machine.found(RELEASE) == ["condor 23.9.6-1 23.10.1-1"]

    def test_versions_are_compared_as_dpkg_does(self, machine: Machine) -> None:
        listed = {"condor": "23.9.6-1~rc1", "libc6": "1:2.0-1", "zstd": "1.5.10-1"}
        assert machine.found(listed) == ["condor 23.9.6-1~rc1 23.9.6-1"]

    def test_what_no_index_has_is_counted(self, machine: Machine) -> None:
        machine.debian.offer("trixie", [("condor", "23.9.6-1")])  # libc6, zstd: gone
        listed = {**RELEASE, "aws-cfn-bootstrap-annexkit": "1.0"}
        assert machine.pending(listed) == Updates((), (), compared=1, unknown=3)

    def test_unstable_is_not_asked(self, machine: Machine) -> None:
        with serve(machine.debian.root) as server:
            machine.sources(server.uri)
            assert machine.found(RELEASE) == []
        assert not [path for path, _ in server.asked if "/sid/" in path]

    def test_a_second_look_makes_conditional_requests_only(
        self, machine: Machine
    ) -> None:
        with serve(machine.debian.root) as server:
            machine.sources(server.uri)
            assert machine.found(RELEASE) == []
            assert machine.found(SID, recipe("debian13-c25")) == []
            server.asked.clear()
            assert machine.found(RELEASE) == []
            assert machine.found(SID, recipe("debian13-c25")) == []
        suites = ("trixie", "trixie-updates", "trixie-security")
        asked = [*suites, *suites, "sid"]
        assert sorted(server.asked) == sorted(
            (f"/dists/{suite}/InRelease", 304) for suite in asked
        )

    def test_another_architecture_has_indexes_of_its_own(
        self, machine: Machine
    ) -> None:
        updates = machine.pending(RELEASE, arch="arm64")
        assert updates.found == ()
        assert updates.unknown == 3
        assert all("no 'main' for arm64" in reason for reason in updates.unchecked)
        assert len(updates.unchecked) == 3

    def test_a_version_that_cannot_be_compared_is_said(self, machine: Machine) -> None:
        odd = dict.fromkeys(("condor", "libc6", "zstd"), "none")
        assert machine.pending(odd) == Updates(
            (), ("versions that cannot be compared: condor, libc6, zstd",)
        )


class TestUnchecked:
    """What cannot be read is said and stops nothing."""

    def test_a_machine_without_sources(self, machine: Machine) -> None:
        (machine.apt / "sources.list").unlink()
        updates = machine.pending(RELEASE)
        assert (updates.found, updates.unknown) == ((), 3)
        assert updates.unchecked[0] == (
            f"no apt source in {machine.apt} names a mirror for suite 'trixie'"
        )

    def test_a_machine_without_a_mirror_for_security(self, machine: Machine) -> None:
        machine.sources(machine.debian.uri, ("", "-updates"))
        listed = {**RELEASE, "condor": "23.9.5-1"}
        updates = machine.pending(listed)
        assert [u.name for u in updates.found] == ["condor"]
        assert updates.unchecked == (
            f"no apt source in {machine.apt} names a mirror for suite "
            "'trixie-security'",
        )

    def test_a_mirror_that_is_down(self, machine: Machine) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            down = f"http://127.0.0.1:{closed.getsockname()[1]}/debian"
            machine.sources(down)
            updates = machine.pending(RELEASE, recipe("debian13-c25"))
        assert updates.found == ()
        assert len(updates.unchecked) == 4
        assert all("Connection refused" in reason for reason in updates.unchecked)

    def test_a_mirror_that_fails_while_another_answers(self, machine: Machine) -> None:
        (machine.folder / "www").mkdir()
        with serve(machine.folder / "www") as server:
            server.answer = 503
            first = [
                f"deb {server.uri} bookworm{kind} main\n" for kind in ("", "-security")
            ]
            path = machine.apt / "sources.list"
            path.write_text("".join(first) + path.read_text())
            assert machine.found(RELEASE) == []

    def test_an_index_that_is_not_the_one_listed(self, machine: Machine) -> None:
        index = machine.debian.offer("trixie-security", [("libc6", "9")])
        for path in (index, *(index.parent / "by-hash" / "SHA256").iterdir()):
            path.write_bytes(b"?")
        updates = machine.pending({**RELEASE, "condor": "23.9.5-1"})
        assert [u.name for u in updates.found] == ["condor"]
        [reason] = updates.unchecked
        assert "trixie-security" in reason
        assert "not what the release file lists" in reason

    def test_a_disk_without_room(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(machine.folder / "none"))
        updates = machine.pending(RELEASE)
        assert (updates.found, updates.unknown) == ((), 3)
        assert len(updates.unchecked) == 3
        assert all("no room for it" in reason for reason in updates.unchecked)

    def test_no_password_is_told(self, machine: Machine) -> None:
        (machine.folder / "www").mkdir()
        with serve(machine.folder / "www") as server:
            server.answer = 503
            machine.sources(server.uri.replace("http://", "http://me:secret@"))
            updates = machine.pending(RELEASE)
        assert "HTTP 503" in updates.unchecked[0]
        assert not [reason for reason in updates.unchecked if "secret" in reason]

    def test_a_base_ami_of_an_unknown_release(self, machine: Machine) -> None:
        base = recipe("debian13-c25").base.model_copy(
            update={"name": {"x86_64": "mine-*"}}
        )
        image = recipe("debian13-c25").model_copy(update={"base": base})
        updates = machine.pending({**SID, "condor": "25.14.0-1", "zstd": "1"}, image)
        assert [u.name for u in updates.found] == ["condor"]
        assert updates.unchecked == ("no telling which release base AMI 'mine-*' is",)


class TestListed:
    def test_the_newest_of_several_installed_kernels_counts(self) -> None:
        rows = [("kernel", "5.14.0-9"), ("kernel", "5.14.0-10"), ("a", "1:1-1")]
        assert as_listed("el", rows) == {"kernel": "5.14.0-10", "a": "1:1-1"}
        assert as_listed("el", reversed(rows)) == as_listed("el", rows)

    def test_versions_sort_by_family(self) -> None:
        rows = [("a", "1.0-1"), ("a", "1.0^git-1")]
        assert as_listed("el", rows) == {"a": "1.0^git-1"}
        rows = [("a", "1.0-1"), ("a", "1.0+b-1"), ("a", "1.0~z-1")]
        assert as_listed("debian", rows) == {"a": "1.0+b-1"}

    def test_what_cannot_be_compared_is_kept_for_pending_to_say(self) -> None:
        assert as_listed("debian", [("a", "1"), ("a", "?")]) == {"a": "?"}


VERSIONS = st.sampled_from(["1-1", "1-1+deb13u1", "1-2", "2~rc1-1", "2-1", "1:0-1"])
OFFERS = st.dictionaries(st.sampled_from(["a", "b", "condor"]), VERSIONS)


class TestAnyStock:
    """What holds of every stock, whichever packages it has."""

    @given(OFFERS, OFFERS, st.booleans(), st.sampled_from(["a", "condor"]), VERSIONS)
    def test_what_is_installed_from_an_offer_is_offered_no_more(
        self,
        release: dict[str, str],
        beside: dict[str, str],
        preferred: bool,
        name: str,
        installed: str,
    ) -> None:
        """A rebuild that takes the offers leaves nothing pending: no endless nights."""
        stock = Stock(release, beside, preferred, ())
        offered = stock.offer(name, installed)
        assert offered in ("", installed, release.get(name), beside.get(name))
        assert bool(offered) == (name in release or name in beside)
        if offered:
            assert newer(installed, offered) == offered
            assert stock.offer(name, offered) == offered

"""The journal: on disk before the call, and never mistaken about who lives."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexkit import journal, processes
from annexkit.errors import AnnexkitError
from annexkit.files import FileError
from annexkit.journal import Journal, JournalError, Process, this_process, token
from tests.unit.helpers import an_entry

ME = this_process()


@pytest.fixture
def book(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_an_entry_comes_back_as_it_was_written(book: Journal) -> None:
    entry = an_entry(ME, tags={"annexkit:build": "x"}, packer=Process.of(1))
    assert book.write(entry) is entry
    assert book.entries() == [entry]


def test_only_its_owner_can_read_an_entry(book: Journal) -> None:
    book.write(an_entry(ME))
    [path] = book.folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_writing_again_replaces_the_entry(book: Journal) -> None:
    book.write(an_entry(ME))
    book.write(an_entry(ME, packer=Process.of(1)))
    [entry] = book.entries()
    assert entry.packer is not None
    assert entry.packer.pid == 1


def test_entries_come_oldest_first(book: Journal) -> None:
    for name, created in (("b", 2.0), ("a", 3.0), ("c", 1.0)):
        book.write(an_entry(ME, id=name, created=created))
    assert [entry.id for entry in book.entries()] == ["c", "b", "a"]


def test_a_journal_without_a_folder_has_no_entries(book: Journal) -> None:
    assert book.entries() == []


def test_an_entry_can_be_closed_twice(book: Journal) -> None:
    entry = book.write(an_entry(ME))
    book.close(entry.id)
    book.close(entry.id)
    assert book.entries() == []


def test_an_entry_that_is_closed_while_it_is_read_is_no_error(
    book: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    book.write(an_entry(ME))
    there = Path.read_text

    def closed_meanwhile(path: Path, **options: str) -> str:
        path.unlink()
        return there(path, **options)

    monkeypatch.setattr(Path, "read_text", closed_meanwhile)
    assert book.entries() == []


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"id": "x"}',
        an_entry(ME).model_dump_json()[:-40].encode(),
        an_entry(ME).model_dump_json().replace('"packer"', '"paker"').encode(),
        an_entry(ME).model_dump_json().replace("{", '{"more": 1,', 1).encode(),
    ],
)
def test_a_damaged_entry_is_named_and_left_alone(book: Journal, damage: bytes) -> None:
    book.write(an_entry(ME, id="good"))
    bad = book.folder / "bad.json"
    bad.write_bytes(damage)
    with pytest.raises(JournalError) as caught:
        book.entries()
    assert caught.value.where == str(bad)
    assert "invoke reap" in caught.value.mend
    assert bad.read_bytes() == damage


def test_other_files_in_the_folder_are_no_entries(book: Journal) -> None:
    book.write(an_entry(ME))
    (book.folder / "notes.txt").write_text("mine")
    (book.folder / ".half.json.tmp123").write_text("{")
    assert len(book.entries()) == 1


def test_when_the_disk_refuses_the_caller_is_told_before_the_call(
    book: Journal,
) -> None:
    book.folder.parent.joinpath("journal").write_text("a file stands in the way")
    with pytest.raises(FileError):
        book.write(an_entry(ME))


def test_i_am_alive_and_here() -> None:
    assert ME.pid == os.getpid()
    assert (ME.here, ME.alive, ME.gone) == (True, True, False)


def test_an_ended_process_is_gone(child: subprocess.Popen[bytes]) -> None:
    process = Process.of(child.pid)
    assert process.alive
    child.kill()
    child.wait()
    assert (process.alive, process.gone) == (False, True)


def test_a_reused_pid_is_another_process(child: subprocess.Popen[bytes]) -> None:
    process = Process.of(child.pid)
    reused = process.model_copy(update={"start_time": process.start_time - 1})
    assert process.alive
    assert (reused.here, reused.alive, reused.gone) == (True, False, True)


def test_a_process_that_was_gone_when_it_was_described_never_lives() -> None:
    process = Process.of(2**22 + 1)
    assert (process.alive, process.gone) == (False, True)


def test_of_another_host_nothing_is_known() -> None:
    far = ME.model_copy(update={"host": "elsewhere 0123"})
    assert (far.here, far.alive, far.gone) == (False, False, False)


def test_a_reboot_ends_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_boot_id", lambda: "another-boot")
    monkeypatch.setattr(processes, "same_process", lambda *_: True)
    assert (ME.here, ME.alive, ME.gone) == (False, False, True)


def test_two_hosts_of_one_name_are_two_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_line", lambda _: "f" * 32)
    assert journal._host() != ME.host
    assert not ME.gone


def test_without_proc_a_process_can_still_be_described(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(journal, "BOOT_ID", tmp_path / "none")
    monkeypatch.setattr(journal, "MACHINE_ID", tmp_path / "none")
    assert Process.of(os.getpid()).alive


parts = st.text(min_size=1, max_size=30)


@given(parts, parts, parts)
def test_a_token_is_the_same_for_the_same_step_and_fits_ec2(
    build: str, region: str, step: str
) -> None:
    first = token(build, region, step)
    assert first == token(build, region, step)
    assert len(first) <= 64  # RunInstances, parameter ClientToken
    assert first.isascii()
    assert first != token(build, region, step + "2")


def test_the_token_does_not_change_over_versions() -> None:
    # An instance launched by an older annexkit has to be found again by a newer one.
    assert token("20240517T120000-0a1b2c", "us-west-2", "fresh-boot") == (
        "2cab6b942e66fa005eb361ffdf3349ee53d729c753c0cc0192451cbc27c94700"
    )


def test_journal_errors_are_for_people() -> None:
    assert issubclass(JournalError, AnnexkitError)

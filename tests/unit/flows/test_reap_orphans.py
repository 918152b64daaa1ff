"""``invoke reap`` first ends the Packer of a dead annexkit, and no other process."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from annexkit import journal, processes
from annexkit.flows.reap import carry_out, end_orphans, survey
from annexkit.flows.site import Site
from annexkit.journal import Process
from tests.unit.flows.conftest import ALIVE, GONE
from tests.unit.helpers import ACCOUNT, BUILD, an_entry


@pytest.fixture
def packer() -> Iterator[subprocess.Popen[bytes]]:
    """A process that leads its own group, as Packer does."""
    with subprocess.Popen(
        ["cat"], stdin=subprocess.PIPE, start_new_session=True
    ) as process:
        yield process
        process.kill()


def test_the_packer_of_a_dead_annexkit_is_ended(
    site: Site, packer: subprocess.Popen[bytes]
) -> None:
    site.journal.write(an_entry(GONE, packer=Process.of(packer.pid)))
    assert [entry.build for entry in end_orphans(site)] == [BUILD]
    assert packer.wait() == -15
    assert end_orphans(site) == []


@pytest.mark.parametrize("case", ["owner alive", "pid reused", "other account"])
def test_a_packer_that_is_not_a_dead_annexkits_is_spared(
    site: Site, packer: subprocess.Popen[bytes], case: str
) -> None:
    real = Process.of(packer.pid)
    reused = real.model_copy(update={"start_time": real.start_time - 1})
    site.journal.write(
        an_entry(
            ALIVE if case == "owner alive" else GONE,
            packer=reused if case == "pid reused" else real,
            account="2" * 12 if case == "other account" else ACCOUNT,
        )
    )
    assert end_orphans(site) == []
    assert packer.poll() is None


def test_after_a_reboot_no_process_of_the_journal_is_signalled(
    site: Site, packer: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.journal.write(an_entry(ALIVE, packer=Process.of(packer.pid)))
    monkeypatch.setattr(journal, "_boot_id", lambda: "after-the-reboot")
    assert end_orphans(site) == []
    assert packer.poll() is None


def test_packer_is_given_the_time_to_end_its_builder(
    site: Site, packer: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    graces: list[float] = []

    def end_group(pid: int, started: int, *, grace: float) -> bool:
        graces.append(grace)
        return False  # it would not end

    monkeypatch.setattr(processes, "end_group", end_group)
    site.journal.write(an_entry(GONE, packer=Process.of(packer.pid)))
    assert end_orphans(site) == []
    assert graces == [300]


def test_the_entry_of_a_packer_that_still_runs_stays(
    site: Site, packer: subprocess.Popen[bytes]
) -> None:
    long_ago = site.clock.time() - 3600
    site.journal.write(an_entry(GONE, created=long_ago, packer=Process.of(packer.pid)))
    carry_out(site, survey(site))
    assert len(site.journal.entries()) == 1
    packer.kill()
    packer.wait()
    carry_out(site, survey(site))
    assert site.journal.entries() == []

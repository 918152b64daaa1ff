"""What ends a node of the contract "annex-ec2" when HTCondor cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.provision.node import load

watch = load("watch_annex_ec2")


class Away:
    """A clock, and HTCondor that is there at some of its times."""

    def __init__(self, *there: tuple[float, float]) -> None:
        self.now, self.there = 0.0, there

    def runs(self) -> bool:
        return any(begin <= self.now < end for begin, end in self.there)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        assert self.now < 100_000, "it watches for ever"

    def ended(self) -> float:
        watch.watch(self.runs, lambda: self.now, self.sleep)
        return self.now


@pytest.mark.parametrize(
    ("there", "end"),
    [
        ((), watch.AWAY),
        (((0, 9000),), 9000 + watch.AWAY),
        (((2900, 5000), (7900, 8000)), 8000 + watch.AWAY),
    ],
    ids=["it never came", "it went away", "it came back in time"],
)
def test_a_node_without_htcondor_ends(
    there: tuple[tuple[float, float], ...], end: float
) -> None:
    assert abs(Away(*there).ended() - end) <= 2 * watch.LOOK


def test_it_powers_off_by_the_images_own_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "power-off"
    program.write_text(f'#!/bin/sh\nprintf "%s" "$*" >{tmp_path}/said\n')
    program.chmod(0o755)
    monkeypatch.setattr(watch, "POWER_OFF", str(program))
    monkeypatch.setattr(watch, "watch", lambda runs: 3001.0)
    assert watch.main() == 0
    assert (tmp_path / "said").read_text() == "HTCondor has not run for 3001 s"

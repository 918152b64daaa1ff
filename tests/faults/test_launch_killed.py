"""A launch is stopped or killed at any moment: nothing that costs money stays."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from annexkit.errors import Exit
from annexkit.flows.reap_report import reap_and_report
from tests.faults.annex_situation import Ground, held
from tests.faults.tally import Tally
from tests.stage import Command

pytestmark = pytest.mark.machines

FEWEST = 6
HELD = 4.0  # seconds that a call is held up, longer than a signal takes
LEASE = 45.0  # seconds; a launch that is killed leaves nodes with this at most
# What a node needs to power itself off once its lease is over, on a busy machine.
LATE = 45.0


@dataclass(frozen=True)
class Moment:
    """A point in a launch.

    :param here: whether it has come, by what can be seen from outside.
    :param hold: the call that is held up, as a fault of the rehearsal.
    :param later: whether the cloud does that call after the launcher's end.
    """

    name: str
    here: Callable[[Ground, Command], bool]
    hold: dict[str, Any] = field(default_factory=dict)
    later: bool = False

    def reach(self, ground: Ground, *arguments: str) -> Command:
        """Start a launch of two, and return it when the moment has come."""
        if self.hold:
            ground.stage.ask("faults", "POST", [self.hold])
        running = ground.start(*arguments, count=2)
        running.reach(lambda: self.here(ground, running), self.name)
        return running


def waits(ground: Ground, running: Command) -> bool:
    return held(ground)


def running_nodes(ground: Ground, running: Command) -> bool:
    states = [node["State"]["Name"] for node in ground.nodes().values()]
    return states == ["running", "running"]


def says(text: str) -> Callable[[Ground, Command], bool]:
    def said(ground: Ground, running: Command) -> bool:
        return text in running.stderr.read_text()

    return said


def a_call(action: str, **more: Any) -> dict[str, Any]:
    return {"action": action, "delay_seconds": HELD, "times": 1, **more}


MOMENTS = {
    moment.name: moment
    for moment in (
        Moment("planning", waits, a_call("DescribeSubnets")),
        Moment("storing the secret", waits, a_call("PutParameter"), later=True),
        Moment("launching", waits, a_call("RunInstances"), later=True),
        Moment("answer lost", waits, a_call("RunInstances", after=True), later=True),
        Moment("arming schedules", waits, a_call("CreateSchedule"), later=True),
        Moment("nodes pending", lambda g, _: bool(g.nodes())),
        Moment("nodes running", running_nodes),
        Moment("reading consoles", waits, a_call("GetConsoleOutput")),
        Moment("joining", says("waiting for 2 nodes in the pool")),
        Moment("leasing", waits, a_call("CreateTags"), later=True),
        Moment("leased", waits, a_call("DeleteParameter"), later=True),
    )
}
# One with its state folder and one without are part of `make test`.
ALWAYS = {"launching", "reading consoles"}


def cases() -> Iterator[Any]:
    """Yield every moment; every other one loses its state folder, too."""
    for number, moment in enumerate(MOMENTS.values()):
        forget = number % 2 == 1
        yield pytest.param(
            moment,
            forget,
            marks=[] if moment.name in ALWAYS else [pytest.mark.matrix],
            id=(moment.name + " state lost" * forget).replace(" ", "-"),
        )


def reap(ground: Ground, ahead: float = 0) -> None:
    """Reap as ``invoke reap --yes`` does, with the clock set ahead."""
    site = ground.place.site(ahead)
    assert reap_and_report(site, (), yes=True, dry_run=False) == Exit.DONE


def short(ground: Ground) -> Ground:
    """Return the same with a lease that a test can wait for."""
    return ground.having(
        lease=f"{LEASE:g}s", boot_timeout="30s", join_timeout="15s", idle="40s"
    )


@pytest.mark.parametrize(("moment", "forget"), list(cases()))
def test_a_killed_launch_leaves_nothing(
    ground: Ground, launch_tally: Tally, moment: Moment, forget: bool
) -> None:
    ground = short(ground)
    running = moment.reach(ground)
    running.send(signal.SIGKILL)
    assert running.ended(timeout=30).exit_code == -signal.SIGKILL
    if moment.later:
        ground.call_is_over(moment.hold["action"])
    if forget:
        shutil.rmtree(ground.place.state, ignore_errors=True)
        ground.all_end(LEASE + LATE)
        reap(ground, ahead=LEASE)
    else:
        reap(ground)
    left = ground.billed()
    launch_tally.add(moment.name, "SIGKILL", forget, len(left))
    assert not left
    assert not ground.place.processes()


@pytest.mark.matrix
def test_what_comes_of_a_call_in_flight_is_taken_by_the_next_reap(
    ground: Ground,
) -> None:
    """EC2 may launch after the launcher and the first reap are gone."""
    slow = a_call("RunInstances") | {"delay_seconds": 3 * HELD}
    running = replace(MOMENTS["launching"], hold=slow).reach(ground)
    running.send(signal.SIGKILL)
    running.ended(timeout=30)
    assert not ground.nodes()
    reap(ground)
    assert len(ground.place.journal) == 1, "it is not settled yet"
    ground.call_is_over("RunInstances")
    assert len(ground.nodes()) == 2
    reap(ground)
    assert ground.billed() == frozenset()


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        pytest.param("planning", signal.SIGINT, marks=pytest.mark.matrix),
        pytest.param("launching", signal.SIGTERM, marks=pytest.mark.matrix),
        pytest.param("answer lost", signal.SIGINT, marks=pytest.mark.matrix),
        ("reading consoles", signal.SIGINT),
        pytest.param("joining", signal.SIGHUP, marks=pytest.mark.matrix),
        pytest.param("leased", signal.SIGINT, marks=pytest.mark.matrix),
    ],
)
def test_a_stopped_launch_ends_what_it_made(
    ground: Ground, name: str, sent: signal.Signals
) -> None:
    running = MOMENTS[name].reach(ground)
    running.send(sent)
    done = running.ended(timeout=120)
    assert done.exit_code == 1
    assert f"error: stopped by {sent.name}" in done.stderr
    assert "Traceback" not in done.stderr
    assert ground.billed() == frozenset()
    assert ground.schedules() == []
    assert ground.place.journal == []


def test_a_second_signal_leaves_at_once_and_says_what_ends_the_rest(
    ground: Ground,
) -> None:
    running = MOMENTS["reading consoles"].reach(ground)
    slow = {"code": "RequestLimitExceeded", "status": 503}
    ground.stage.ask("faults", "POST", [a_call("TerminateInstances", error=slow)])
    running.send(signal.SIGINT)
    running.reach(lambda: held(ground), "the clean-up")
    running.send(signal.SIGINT)
    done = running.ended(timeout=HELD)
    assert done.exit_code == 1
    assert "stopped by SIGINT before all was ended; what is left ends by itself at" in (
        done.stderr
    )
    (line,) = [one for one in done.stderr.splitlines() if "to end it now: " in one]
    assert "Traceback" not in done.stderr
    assert len(ground.nodes()) == 2
    name, *typed = line.partition("to end it now: ")[2].split()
    assert name == "invoke"
    ended = ground.beside("reap").invoke(*typed)
    assert ended.exit_code == 0, ended.stderr
    assert ground.billed() == frozenset()


def test_there_are_as_many_moments_as_the_bar_asks_for() -> None:
    forgotten = [case.values[1] for case in cases()]
    assert len(MOMENTS) >= FEWEST
    assert len(forgotten) - 2 * sum(forgotten) in (0, 1), "half lose their state folder"

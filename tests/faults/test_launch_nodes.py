"""Nodes that cannot join: each is found out, explained by ``invoke why``, and ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from annexkit.launch.policies import NODE
from annexkit.rehearsal import pool_jobs
from annexkit.waiting import wait_for
from tests.faults.annex_situation import ANNEX, Ground, Why, held, outcome
from tests.stage import Command

pytestmark = pytest.mark.machines

# Longer than `invoke why` takes on a busy machine: the node is still there to ask.
HELD = 15.0


@dataclass(frozen=True)
class Trouble:
    """What is wrong with a node, and what has to be said of it.

    :param wrong: as the rehearsal's fault; ``{pool}`` is the collector's address.
    :param meanwhile: done while RunInstances is held up.
    :param step: the first broken step; *says* is in its detail, *mend* in its mend.
    :param settings: of the launch.
    """

    name: str
    step: str
    says: str
    mend: str
    wrong: dict[str, Any] = field(default_factory=dict)
    meanwhile: Callable[[Ground], None] | None = None
    settings: dict[str, str] = field(default_factory=dict)


def take_role_away(ground: Ground) -> None:
    """Leave the nodes' instance profile without its role."""
    iam = ground.client("iam")
    iam.remove_role_from_instance_profile(InstanceProfileName=NODE, RoleName=NODE)


def take_right_away(ground: Ground) -> None:
    """Leave the nodes' role without its right to read the secret."""
    iam = ground.client("iam")
    for name in iam.list_role_policies(RoleName=NODE)["PolicyNames"]:
        iam.delete_role_policy(RoleName=NODE, PolicyName=name)


TROUBLES = (
    Trouble(
        "never boots",
        "boot finished",
        "not finished after ",
        "aws ec2 get-console-output --latest --output text --region us-west-2",
        {"never_boots": True},
        settings={"boot_timeout": "25s"},
    ),
    Trouble(
        "wrong host key",
        "SSH",
        "this is another host than expected: it shows ",
        "do not connect; see whether the address now belongs to another",
        {"console_host_key": True},
    ),
    Trouble(
        "no role",
        "role",
        "the instance has no IAM role (instance profile)",
        "launch it again",
        meanwhile=take_role_away,
    ),
    Trouble(
        "no right",
        "secret",
        "the node's role may not read /annexkit/grid/",
        "let the role annexkit-node read it",
        meanwhile=take_right_away,
        # the node itself hopes for a minute that IAM is only slow
        settings={"boot_timeout": "120s"},
    ),
    Trouble(
        "shifted clock",
        "secret",
        "this node's clock is +33",
        "set the node's clock (chronyc makestep)",
        # More than AWS bears (300 s), less than the probation (360 s).
        {"clock_offset": 330},
        settings={"boot_timeout": "120s"},
    ),
    Trouble(
        "no way to the collector",
        "collector reachable",
        "no connection to {pool}: timed out",
        "let its subnet reach the collector's port",
        {"blocked": "{pool}"},
        settings={"join_timeout": "20s"},
    ),
)
ALWAYS = {"wrong host key"}


def begin(ground: Ground, trouble: Trouble) -> Command:
    """Start a launch; of two nodes one is in trouble, or a single one is."""
    end = {"delay_seconds": HELD, "times": 1}
    if trouble.meanwhile:
        ground.fault("RunInstances", delay_seconds=3, times=1)
        running = ground.start()
        running.reach(lambda: held(ground), "the launch")
        trouble.meanwhile(ground)
        ground.fault("TerminateInstances", **end)
        return running
    ground.trouble(
        **{
            name: at_pool(ground, value) if isinstance(value, str) else value
            for name, value in trouble.wrong.items()
        }
    )
    ground.fault("TerminateInstances", **end)
    return ground.start(count=2)


def at_pool(ground: Ground, text: str) -> str:
    return text.replace("{pool}", ground.pool.collector)


def bad_node(ground: Ground, running: Command) -> tuple[str, Why]:
    """Wait until the launcher ends a bad node; ask of it while it is still there."""
    running.reach(lambda: held(ground), "the end of a bad node")
    said = running.stderr.read_text()
    (line, *_) = [one for one in said.splitlines() if "the first broken step" in one]
    name = line.partition("warning: ")[2].partition(":")[0]
    assert name in ground.nodes()
    return name, ground.why(name)


def cases() -> Iterator[Any]:
    for trouble in TROUBLES:
        marks = [] if trouble.name in ALWAYS else [pytest.mark.matrix]
        yield pytest.param(trouble, marks=marks, id=trouble.name.replace(" ", "-"))


def logins(ground: Ground, instance: str) -> list[str]:
    """Return the logins that an instance's SSH server let in."""
    said = ground.inside(instance, "journalctl", "--no-pager", "-u", "ssh")
    assert "Server listening" in said, "the log can be read"
    return [line for line in said.splitlines() if "Accepted " in line]


@pytest.mark.parametrize("trouble", list(cases()))
def test_a_node_that_cannot_join_is_explained_and_ended(
    ground: Ground, trouble: Trouble
) -> None:
    ground = ground.having(**trouble.settings)
    running = begin(ground, trouble)
    bad, why = bad_node(ground, running)
    good = set(ground.nodes()) - {bad}
    assert (why.exit_code, why.broken) == (1, trouble.step), why.details
    assert at_pool(ground, trouble.says) in why.details[trouble.step]
    assert trouble.mend in why.mend
    if trouble.step == "SSH":
        assert logins(ground, bad) == [], "nobody logs in to who is not known"
        assert all(logins(ground, one) for one in good)
    done = running.ended()
    assert "Traceback" not in done.stderr
    assert f"warning: {bad}: the first broken step: {trouble.step}: " in done.stderr
    assert trouble.mend in done.stderr
    assert set(ground.nodes()) == good
    if trouble.meanwhile:
        assert done.exit_code == 1
        assert f"no node of 1 came into the pool: {trouble.step} (1 times)" in (
            done.stderr
        )
        assert ground.billed() == frozenset()
    else:
        assert done.exit_code == 3
        said = {node["id"]: node for node in outcome(done)["nodes"]}
        assert (said[bad]["good"], said[bad]["broken_step"]) == (False, trouble.step)
        assert [one for one in said if said[one]["good"]] == list(good)
        kinds = sorted(thing.split()[1] for thing in ground.billed())
        assert kinds == ["instance", "volume"]


@pytest.mark.matrix
@pytest.mark.parametrize("deed", [take_role_away, take_right_away])
def test_the_next_launch_mends_what_nodes_need(
    ground: Ground, deed: Callable[[Ground], None]
) -> None:
    assert ground.launch().exit_code == 0
    deed(ground)
    done = ground.launch()
    assert done.exit_code == 0, done.stderr
    assert NODE in done.stderr, "it says what it mended"
    assert len(ground.nodes()) == 2


def condor(ground: Ground, verb: str) -> None:
    """Start, stop or restart the central manager."""
    ground.pool.run("root", "systemctl", verb, "condor.service")


def ads(ground: Ground) -> list[str]:
    """Return the instances that the collector has slots of."""
    asked = ("condor_status", "-af", "EC2InstanceID")
    return ground.pool.run("root", *asked, check=False).stdout.split()


def test_nodes_come_back_after_the_central_manager_was_restarted(
    ground: Ground,
) -> None:
    done = ground.launch()
    assert done.exit_code == 0, done.stderr
    (node,) = ground.nodes()
    assert ads(ground) == [node]
    condor(ground, "stop")
    silent = ground.why(node)
    condor(ground, "start")
    assert silent.exit_code == 1
    assert silent.broken == "collector reachable"
    wait_for(lambda: ads(ground) == [node], what="the node's ads", timeout=90)
    assert ground.why(node).exit_code == 0
    jobs = pool_jobs.jobs(ground.pool, 1, ANNEX, seconds=0, timeout=90)
    assert [job.node for job in jobs] == [node]


@pytest.mark.matrix
@pytest.mark.parametrize("stopped_at", ["RunInstances", "GetConsoleOutput"])
def test_a_launch_outlives_a_restart_of_the_central_manager(
    ground: Ground, stopped_at: str
) -> None:
    ground.fault(stopped_at, delay_seconds=1, times=1)
    running = ground.start(count=2)
    running.reach(lambda: held(ground), stopped_at)
    condor(ground, "stop")
    waits = "waiting for 2 nodes in the pool"
    running.reach(lambda: waits in running.stderr.read_text(), waits)
    condor(ground, "start")
    done = running.ended()
    assert done.exit_code == 0, done.stderr
    assert {node["id"] for node in outcome(done)["nodes"]} == set(ground.nodes())


@pytest.mark.matrix
def test_a_launch_into_a_pool_that_stays_away_trusts_ssh_alone(ground: Ground) -> None:
    ground.fault("RunInstances", delay_seconds=1, times=1)
    running = ground.start()
    running.reach(lambda: held(ground), "RunInstances")
    condor(ground, "stop")
    try:
        done = running.ended()
    finally:
        condor(ground, "start")
    assert done.exit_code == 3, done.stderr
    assert "warning: pool: the pool was not asked: " in done.stderr
    (node,) = outcome(done)["nodes"]
    assert (node["good"], node["joined"]) == (True, False)

"""Each step on the way into the pool, broken by evidence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from annexkit import ssh
from annexkit.instances import Instance
from annexkit.verify.evidence import Evidence
from annexkit.verify.facts import CloudInit, Facts, Reach
from annexkit.verify.funnel import STEPS, State, Step, first_broken, walk
from annexkit.verify.hostkeys import BEGIN, END
from tests.unit.helpers import REGION
from tests.unit.ssh.keys import host_key
from tests.unit.verify.test_pool_side import POOL, slot

ID = "i-0123456789abcdef0"
NOW = 1_700_000_600.0
CONSOLE = f"{BEGIN}\n{host_key().line} root@node\n{END}\nCloud-init v. 25.1 finished\n"
INSTANCE = Instance(ID, REGION, "running", launched=NOW - 60)
GOOD = Facts(
    now=NOW,
    system="running",
    failed_units=(),
    cloud_init=CloudInit(status="done"),
    role="annexkit-node",
    secret=True,
    condor="active",
    collector=Reach(address="cm.example.org:9618", error=""),
    start="true",
)
WELL = Evidence(
    id=ID,
    region=REGION,
    now=NOW,
    instance=INSTANCE,
    console=CONSOLE,
    facts=GOOD,
    pool=POOL,
    slots=[slot()],
    masters=[],
    login="ssh admin@192.0.2.1",
)
OUT = replace(WELL, slots=[])  # the same node, not in the pool


def broken(evidence: Evidence) -> Step:
    found = first_broken(walk(evidence))
    assert found is not None
    return found


def states(evidence: Evidence) -> dict[str, State]:
    return {step.name: step.state for step in walk(evidence)}


def ssh_error(kind: ssh.Kind) -> ssh.SshError:
    return ssh.SshError("no login", mend="look there", kind=kind)


def facts(**changes: Any) -> Evidence:
    return replace(OUT, facts=GOOD.model_copy(update=changes))


def instance(**changes: Any) -> Evidence:
    return replace(OUT, instance=replace(INSTANCE, **changes))


def test_a_node_in_the_pool_has_every_step_behind_it() -> None:
    assert states(WELL) == dict.fromkeys(STEPS, State.OK)
    assert first_broken(walk(WELL)) is None


BREAKS: dict[str, tuple[Evidence, str, str, str]] = {
    "no such instance": (
        replace(OUT, instance=None),
        "exists",
        f"EC2 knows no {ID} in us-west-2",
        "invoke status",
    ),
    "pending": (instance(state="pending"), "running", "pending", "invoke why"),
    "ended": (
        instance(state="terminated", reason="Server.SpotInstanceTermination"),
        "running",
        "Server.SpotInstanceTermination",
        "invoke launch",
    ),
    "stopped": (instance(state="stopped"), "running", "stopped", "start-instances"),
    "panic": (
        replace(OUT, facts=None, console="Kernel panic - not syncing: VFS\n"),
        "boot finished",
        "Kernel panic - not syncing: VFS",
        "get-console-output",
    ),
    "never boots": (
        replace(instance(launched=NOW - 400), facts=None, console=""),
        "boot finished",
        "not finished after 400 s",
        "get-console-output",
    ),
    "a job hangs": (
        facts(system="starting"),
        "boot finished",
        "systemd is starting",
        "systemctl list-jobs",
    ),
    "no keys": (
        replace(OUT, facts=None, console="Cloud-init v. 25.1 finished"),
        "console keys",
        "no host keys",
        "get-console-output",
    ),
    "wrong host": (
        replace(OUT, facts=None, ssh_error=ssh_error(ssh.Kind.WRONG_HOST)),
        "SSH",
        "no login",
        "look there",
    ),
    "cloud-init runs": (
        facts(cloud_init=CloudInit(status="running")),
        "cloud-init",
        "running",
        "wait",
    ),
    "cloud-init failed": (
        facts(cloud_init=CloudInit(status="error", errors=("bad user data",))),
        "cloud-init",
        "error: bad user data",
        "cloud-init status --long",
    ),
    "no role": (facts(role=""), "role", "none", "annexkit-node"),
    "no role, as the node says": (
        facts(failed="no-role the instance has no IAM role", secret=False),
        "role",
        "no IAM role",
        "annexkit-node",
    ),
    "denied": (
        facts(failed="denied not allowed to read /annexkit/grid/1", secret=False),
        "secret",
        "not allowed",
        "role annexkit-node",
    ),
    "missing": (
        facts(failed="missing there is no parameter", secret=False),
        "secret",
        "no parameter",
        "invoke launch",
    ),
    "clock, as AWS says": (
        facts(failed="clock the signature is too old", secret=False, now=NOW - 3600),
        "secret",
        "too old; its clock is -3600 s off",
        "set the node's clock",
    ),
    "no way to SSM": (
        facts(failed="unreachable no answer", secret=False),
        "secret",
        "no answer",
        "endpoint for ssm",
    ),
    "bad annex.json": (
        facts(failed="annex-file unknown key 'x'", secret=False),
        "secret",
        "not set up: unknown key 'x'",
        "journalctl",
    ),
    "no secret without a reason": (
        facts(secret=False),
        "secret",
        "no reason",
        "journalctl",
    ),
    "as the console says": (
        replace(
            OUT, facts=None, console=CONSOLE + "[ 9.1] annexkit: error: no IAM role\r\n"
        ),
        "secret",
        "no IAM role",
        "journalctl",
    ),
    "the console says it before it shows keys": (
        replace(
            instance(launched=NOW - 400),
            facts=None,
            console="annexkit: error: the role may not read it\n",
            login="",
        ),
        "secret",
        "the role may not read it",
        "get-console-output",
    ),
    "it still asks for its secret": (
        facts(system="starting", failed="denied may not read it", secret=False),
        "secret",
        "may not read it",
        "invoke teardown",
    ),
    "a boot that a launch gave up on": (
        replace(instance(launched=NOW - 40), facts=None, console="", slow=30.0),
        "boot finished",
        "not finished after 40 s",
        "get-console-output",
    ),
    "condor failed": (
        facts(condor="failed (exit-code)"),
        "HTCondor up",
        "failed (exit-code)",
        "journalctl -b -u condor",
    ),
    "bad configuration": (
        facts(config="line 3: oops", condor="failed"),
        "HTCondor up",
        "oops",
        "condor_config_val",
    ),
    "collector out of reach": (
        facts(collector=Reach(address="cm:9618", error="timed out")),
        "collector reachable",
        "no connection to cm:9618: timed out",
        "security group",
    ),
    "clock alone": (
        facts(now=NOW + 7200),
        "authenticated",
        "its clock is +7200 s off",
        "set the node's clock",
    ),
    "refused by the collector": (
        facts(log=("ERROR AUTHENTICATE:1003: failed",)),
        "authenticated",
        "AUTHENTICATE:1003",
        "pool.check",
    ),
    "no reason to be seen": (
        facts(),
        "authenticated",
        "no reason",
        "tail /var/log/condor/MasterLog",
    ),
    "another identity": (
        replace(WELL, slots=[slot(authenticated_identity="eve@example.org")]),
        "authenticated",
        "eve@example.org",
        "pool.check",
    ),
    "a master alone": (
        replace(OUT, masters=[slot(name="node")]),
        "START matches",
        "no slot",
        "StartLog",
    ),
    "draining": (
        replace(WELL, slots=[slot(draining=True)]),
        "START matches",
        "draining",
        "invoke extend",
    ),
    "start is false": (
        replace(WELL, slots=[slot(start=False)]),
        "START matches",
        "false on slot1@node: true",
        "launch.users",
    ),
}


def test_a_node_on_probation_is_not_blamed_for_taking_no_job() -> None:
    steps = walk(replace(WELL, slots=[slot(start=False, leased=False)]))
    assert first_broken(steps) is None
    assert "on probation" in steps[-1].detail


@pytest.mark.parametrize("name", BREAKS)
def test_the_first_broken_step_is_named_with_its_mend(name: str) -> None:
    evidence, step, detail, mend = BREAKS[name]
    found = broken(evidence)
    assert found.name == step
    assert detail in found.detail
    assert mend in found.mend


def test_every_step_can_break() -> None:
    assert {step for _, step, _, _ in BREAKS.values()} == set(STEPS)


def test_after_the_end_nothing_else_is_judged() -> None:
    found = states(instance(state="terminated"))
    assert list(found.values())[2:] == [State.NOT_CHECKED] * 10


def test_what_nobody_could_see_is_not_called_ok() -> None:
    found = states(replace(OUT, facts=None, slots=None, masters=None, console=CONSOLE))
    seen = {"exists", "running", "boot finished", "console keys"}
    assert {name for name, state in found.items() if state is State.OK} == seen
    assert State.BROKEN not in found.values()


def test_a_node_in_the_pool_needs_no_ssh_from_here() -> None:
    unreachable = ssh_error(ssh.Kind.UNREACHABLE)
    found = states(replace(WELL, facts=None, ssh_error=unreachable))
    assert found.pop("SSH") is State.NOT_CHECKED
    assert set(found.values()) == {State.OK}


def test_pins_do_for_a_console_that_scrolled_on() -> None:
    evidence = replace(WELL, console="jobs, jobs", known=True)
    assert states(evidence)["console keys"] is State.OK


def test_what_the_console_showed_once_is_not_held_against_a_node_that_joined() -> None:
    text = CONSOLE + "annexkit: error: throttled\n"
    assert first_broken(walk(replace(WELL, facts=None, console=text))) is None

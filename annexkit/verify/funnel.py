"""Why is this node not in the pool? The way there as steps, judged by evidence.

Each step is a function of what was gathered, so that every way to break it can be
tested without a node. A step that cannot be seen is "not checked", never "ok"; what a
later step proves is not doubted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from annexkit import ssh
from annexkit.instances import ENDED
from annexkit.pool.identity import mismatch
from annexkit.verify.evidence import Evidence
from annexkit.verify.hostkeys import parse_console

BOOTED = re.compile(
    r"Cloud-init v\.? ?\S+ finished|Reached target \S*(multi-user|graphical)"
    r"|\S+ login: "
)
DEAD = re.compile(
    r"Kernel panic[^\n]*|You are in emergency mode|Give root password[^\n]*"
    r"|No bootable device[^\n]*|unable to mount root[^\n]*",
    re.IGNORECASE,
)
# By the word of /run/annexkit/failed; what is not here is the image's or our defect.
SECRET_MENDS = {
    "no-role": "launch it again: invoke launch gives nodes the role annexkit-node",
    "denied": "let the role annexkit-node read it: invoke teardown, then invoke launch "
    "makes the role anew",
    "missing": "the parameter is deleted when a launch is over; launch a new node: "
    "invoke launch",
    "clock": "set the node's clock (chronyc makestep), or end it: invoke terminate",
    "unreachable": "give its subnet a way to SSM: an internet gateway, NAT, or a VPC "
    "endpoint for ssm",
    "busy": "wait; the node asks again. Then launch it again: invoke launch",
}
ROLE_KINDS = ("no-role",)
SECRET_KINDS = ("denied", "missing", "clock", "unreachable", "busy", "refused")


class State(StrEnum):
    """How a step stands."""

    OK = "ok"
    BROKEN = "broken"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True)
class Step:
    """One step's judgement; ``mend`` is set when it is broken."""

    name: str
    state: State
    detail: str
    mend: str = ""


@dataclass(frozen=True)
class _Found:
    state: State
    detail: str
    mend: str = ""


def _ok(detail: str) -> _Found:
    return _Found(State.OK, detail)


def _broken(detail: str, mend: str) -> _Found:
    return _Found(State.BROKEN, detail, mend)


def _unseen(detail: str) -> _Found:
    return _Found(State.NOT_CHECKED, detail)


def exists(e: Evidence) -> _Found:
    """EC2 knows the instance."""
    if e.instance is None:
        return _broken(
            f"EC2 knows no {e.id} in {e.region}",
            "see what there is: invoke status; another region: --region",
        )
    return _ok(f"{e.instance.instance_type} in {e.instance.zone or e.region}")


def running(e: Evidence) -> _Found:
    """EC2 runs it."""
    if e.instance is None:
        return _unseen("there is no instance")
    state, reason = e.instance.state, e.instance.reason
    said = f"{state}: {reason}" if reason else state
    if state == "running":
        return _ok(f"for {e.age:.0f} s")
    if state == "pending":
        return _broken(said, e.again)
    if state in ENDED:
        return _broken(said, "launch a new one: invoke launch")
    return _broken(
        said, f"aws ec2 start-instances --region {e.region} --instance-ids {e.id}"
    )


def boot(e: Evidence) -> _Found:
    """Its system came up."""
    if dead := DEAD.search(e.console):
        return _broken(f"the console says: {dead[0].strip()}", e.read_console)
    return _boot_as_told(e) or _boot_as_seen(e)


def _boot_as_told(e: Evidence) -> _Found | None:
    """Judge by what the node itself says."""
    system = e.facts.system if e.facts is not None else ""
    if system in ("running", "degraded") and e.facts is not None:
        units = ", ".join(e.facts.failed_units or ())
        return _ok(system + (f", failed: {units}" if units else ""))
    if e.failed[0]:  # it waits for what a later step names
        return _ok("far enough to say what is wrong")
    if system:
        return _broken(f"systemd is {system}", f"{e.login} systemctl list-jobs")
    return None


def _boot_as_seen(e: Evidence) -> _Found:
    """Judge from outside."""
    if e.joined or BOOTED.search(e.console):
        return _ok("as the console shows" if not e.joined else "it is in the pool")
    if e.age > e.slow:
        return _broken(f"not finished after {e.age:.0f} s", e.read_console)
    return _unseen(f"no sign of it yet, {e.age:.0f} s after the launch")


def console_keys(e: Evidence) -> _Found:
    """Its host keys are known, so that SSH may be used."""
    if parse_console(e.console):
        return _ok("the console shows its host keys")
    if e.known:
        return _ok("pinned when it was launched")
    if e.failed[0]:  # they come later than what the console tells
        return _unseen("the console shows none yet")
    return _broken("the console shows no host keys", e.read_console)


def login(e: Evidence) -> _Found:
    """SSH reaches it from here."""
    if e.facts is not None:
        return _ok("logged in")
    if e.ssh_error is None:
        return _unseen(e.ssh_skipped or "not tried")
    kind = getattr(e.ssh_error, "kind", None)
    # No login from here does not keep a node out of the pool.
    if e.joined and kind is ssh.Kind.UNREACHABLE:
        return _unseen(e.ssh_error.what)
    return _broken(e.ssh_error.what, e.ssh_error.mend)


def cloud_init(e: Evidence) -> _Found:
    """cloud-init did what the user data asks for."""
    if e.facts is None or e.facts.cloud_init is None:
        return _seen_in_pool(e)
    found = e.facts.cloud_init
    problems = "; ".join(found.errors)
    if found.status.endswith("done") and not problems:
        return _ok(found.status)
    if found.status in ("running", "not started", "not run") and not problems:
        return _broken(f"it is {found.status}", e.again)
    mend = f"{e.login} sudo cloud-init status --long"
    return _broken(f"{found.status}: {problems or 'no reason given'}", mend)


def role(e: Evidence) -> _Found:
    """The instance has its role."""
    word, sentence = e.failed
    if word in ROLE_KINDS:
        return _broken(sentence, SECRET_MENDS[word])
    if e.facts is None or e.facts.role is None:
        return _seen_in_pool(e)
    if not e.facts.role and not e.joined:
        return _broken("it has none", SECRET_MENDS["no-role"])
    return _ok(e.facts.role or "none, and none is needed any more")


def secret(e: Evidence) -> _Found:
    """It has the pool's secret."""
    word, sentence = e.failed
    if word in SECRET_KINDS or word == "console":
        mend = SECRET_MENDS.get("clock" if e.skew else word, e.read_journal)
        return _broken(sentence + e.skew, mend)
    if word:
        return _broken(f"the node was not set up: {sentence}", e.read_journal)
    if e.facts is None or e.facts.secret is None:
        return _seen_in_pool(e)
    if not e.facts.secret:
        return _broken("there is none, and no reason is given", e.read_journal)
    return _ok("it is in its place")


def condor(e: Evidence) -> _Found:
    """HTCondor runs."""
    if e.facts is None or e.facts.condor is None:
        return _seen_in_pool(e)
    if e.facts.config:
        said = e.facts.config.splitlines()[-1]
        mend = f"{e.login} sudo condor_config_val -summary"
        return _broken(f"its configuration cannot be read: {said}", mend)
    if e.facts.condor != "active":
        mend = f"{e.login} sudo journalctl -b -u condor"
        return _broken(f"condor.service is {e.facts.condor}", mend)
    return _ok("active")


def collector(e: Evidence) -> _Found:
    """It reaches the collector."""
    if e.joined:
        return _ok("the collector has its ads")
    if e.facts is None or e.facts.collector is None:
        return _unseen("only the node itself can tell")
    found = e.facts.collector
    if found.error:
        return _broken(
            f"no connection to {found.address}: {found.error}",
            "let its subnet reach the collector's port: firewall of the central "
            "manager, security group, route; or correct pool.collector",
        )
    return _ok(f"a connection to {found.address} works")


def authenticated(e: Evidence) -> _Found:
    """The collector takes its ads, and knows it as who it should be."""
    if e.slots is None or e.pool is None:
        return _unseen(e.pool_error or "the pool was not asked")
    wrong = [said for ad in e.ads if (said := mismatch(ad, e.pool))]
    if wrong:
        return _broken(wrong[0], "invoke pool.check")
    if e.joined:
        ad = e.ads[0]
        return _ok(f"{ad.authenticated_identity} by {ad.authentication_method}")
    return _unknown_there(e)


def _unknown_there(e: Evidence) -> _Found:
    """Say why the collector may have no ad of it, as far as the node knows."""
    if e.facts is None:
        return _broken("the collector has no ad of it", e.read_console)
    if e.skew:
        return _broken(f"the collector has no ad of it{e.skew}", SECRET_MENDS["clock"])
    if e.facts.log:
        return _broken(f"HTCondor's log: {e.facts.log[-1]}", "invoke pool.check")
    return _broken(
        "the collector has no ad of it, and its logs give no reason",
        f"wait for its next update, or: {e.login} sudo tail /var/log/condor/MasterLog",
    )


def start(e: Evidence) -> _Found:
    """It takes jobs."""
    if e.slots is None:
        return _unseen(e.pool_error or "the pool was not asked")
    if not e.slots:
        if not e.masters:
            return _unseen("it is not in the pool")
        mend = f"{e.login} sudo tail /var/log/condor/StartLog"
        return _broken("its master is in the pool, but no slot", mend)
    if any(slot.draining for slot in e.slots):
        return _broken(
            "it is draining: its lease ends soon, or spot takes it back",
            "invoke extend, for more time",
        )
    if any(slot.leased is False for slot in e.slots):
        return _unseen("on probation: it takes no job before it is verified")
    return _open(e)


def _open(e: Evidence) -> _Found:
    """Say whether START lets jobs in, of a leased node."""
    slots = e.slots or ()
    closed = [s for s in slots if s.start is False and not s.claimed]
    if closed:
        expression = e.facts.start if e.facts and e.facts.start else "START"
        mend = "launch with other users: launch.users in invoke.yaml"
        return _broken(f"false on {closed[0].name}: {expression}", mend)
    claimed = sum(slot.claimed for slot in slots)
    return _ok(f"{len(slots)} slots, {claimed} claimed")


STEPS: dict[str, Callable[[Evidence], _Found]] = {
    "exists": exists,
    "running": running,
    "boot finished": boot,
    "console keys": console_keys,
    "SSH": login,
    "cloud-init": cloud_init,
    "role": role,
    "secret": secret,
    "HTCondor up": condor,
    "collector reachable": collector,
    "authenticated": authenticated,
    "START matches": start,
}


def walk(evidence: Evidence) -> list[Step]:
    """Judge every step, in the order in which a node takes them.

    Once the instance is gone or not yet up, the rest cannot be seen.
    """
    found: list[Step] = []
    for name, judge in STEPS.items():
        if any(s.state is State.BROKEN for s in found[:2]):
            found.append(Step(name, State.NOT_CHECKED, "there is no running instance"))
            continue
        said = judge(evidence)
        found.append(Step(name, said.state, said.detail, said.mend))
    return found


def first_broken(steps: Sequence[Step]) -> Step | None:
    """Return the step to mend first; None when none is broken."""
    return next((step for step in steps if step.state is State.BROKEN), None)


def _seen_in_pool(e: Evidence) -> _Found:
    return _ok("it is in the pool") if e.joined else _unseen("nobody could log in")

"""What is wrong with a launch before it begins: one small rule for each."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from annexkit.errors import Finding, Level
from annexkit.launch.facts import PlanFacts
from annexkit.launch.words import money, spell, stamp

MOST_NODES = 10_000
LONG_LEASE = 7 * 86_400.0
NAME = re.compile(r"[A-Za-z0-9-]{1,27}")
HOURLY_PRICE = "INVOKE_ANNEXKIT_LAUNCH_HOURLY_PRICE"


def judge(facts: PlanFacts) -> Iterator[Finding]:
    """Yield every finding about the facts of a launch."""
    for rule in (_name, _count, _room, _targets, _lease, _idle, _layers, _cost):
        yield from rule(facts)
    yield from _ami(facts)
    yield from _method(facts)


def cost_per_hour(facts: PlanFacts) -> tuple[float | None, float | None]:
    """Return what all nodes cost an hour: at the first open target, and at worst."""
    prices = [target.price for target in facts.targets]
    likely = next((t.price for t in facts.targets if t not in facts.closed), None)
    known = [price for price in prices if price is not None]
    most = max(known) if known and len(known) == len(prices) else None
    return _times(facts.count, likely), _times(facts.count, most)


def _times(count: int, price: float | None) -> float | None:
    return None if price is None else round(count * price, 6)


def _name(facts: PlanFacts) -> Iterator[Finding]:
    if not NAME.fullmatch(facts.annex):
        yield _error(
            f"'{facts.annex[:40]}' cannot name an annex",
            "--annex-name",
            "use 1 to 27 of A-Z, a-z, 0-9 and -: client tokens hold no more",
        )


def _count(facts: PlanFacts) -> Iterator[Finding]:
    if not 1 <= facts.count <= MOST_NODES:
        yield _error(
            f"{facts.count} nodes cannot be launched",
            "--count",
            f"write a number from 1 to {MOST_NODES}",
        )


def _room(facts: PlanFacts) -> Iterator[Finding]:
    if facts.free is not None and 0 < facts.free < facts.count:
        yield _warning(
            f"the subnets have {facts.free} free addresses for {facts.count} nodes",
            "launch.subnets",
            "name more subnets, or launch fewer",
        )


def _targets(facts: PlanFacts) -> Iterator[Finding]:
    errors = [f for f in facts.findings if f.level is Level.ERROR]
    if not facts.targets and not errors:  # else it was said already why
        yield _error(
            "there is no instance type and zone to ask for",
            facts.region,
            "name other types (--instance-type) or subnets (launch.subnets)",
        )
    if facts.targets and all(target in facts.closed for target in facts.targets):
        first = min(facts.closed[t].until for t in facts.targets)
        codes = sorted({facts.closed[t].code for t in facts.targets})
        yield _error(
            f"AWS had no room for any of these lately ({', '.join(codes)})",
            facts.region,
            f"wait until {stamp(first)}, or name other types or zones",
        )


def _lease(facts: PlanFacts) -> Iterator[Finding]:
    if facts.lease < facts.ready_in:
        yield _error(
            f"the lease of {spell(facts.lease)} is over before a node has to be in the "
            f"pool: {spell(facts.boot_timeout)} to boot and "
            f"{spell(facts.join_timeout)} to join",
            "--lease",
            f"give it more: --lease {math.ceil(facts.ready_in / 60)}m, or lower "
            "launch.boot_timeout and launch.join_timeout",
        )
    if facts.lease > LONG_LEASE:
        yield _warning(
            f"the lease is {spell(facts.lease)} long",
            "--lease",
            "take a shorter one: invoke extend makes it longer when it is needed",
        )


def _idle(facts: PlanFacts) -> Iterator[Finding]:
    if facts.ready_in <= facts.lease < facts.idle:  # a shorter lease was said already
        yield _warning(
            f"the idle limit of {spell(facts.idle)} is longer than the lease of "
            f"{spell(facts.lease)}: no node will end by idleness",
            "--idle",
            "give a shorter one, or leave it",
        )
    if facts.idle <= 0:
        yield _error(
            "with an idle limit of 0 a node ends before its first job",
            "--idle",
            "give it some minutes: --idle 15m",
        )


def _layers(facts: PlanFacts) -> Iterator[Finding]:
    if len(facts.layers) < 2:
        armed = ", ".join(facts.layers) or "none"
        yield _error(
            "an annex needs two lease layers that do not depend on each other, armed "
            f"would be: {armed}",
            "launch.scheduler",
            "set launch.scheduler to true and allow what docs/iam-policy.json lists",
        )


def _cost(facts: PlanFacts) -> Iterator[Finding]:
    ceiling = facts.max_hourly_cost
    if not ceiling or not facts.targets:
        return
    unknown = sorted({t.priced_as for t in facts.targets if t.price is None})
    for name in unknown:
        kind, _, market = name.partition("/")
        yield _error(
            f"there is a ceiling, and the price of {kind} ({market}) is not known",
            "--max-hourly-cost",
            f"give the price: {HOURLY_PRICE}={kind}=0.10, or leave the type out",
        )
    known = [(t.price, t.instance_type) for t in facts.targets if t.price is not None]
    if not known:
        return
    (least, cheap), (most, dear) = min(known), max(known)
    if least > ceiling:
        yield _error(
            f"the ceiling of {money(ceiling)} an hour is below one node: {cheap} costs "
            f"{money(least)}",
            "--max-hourly-cost",
            f"raise it to {money(facts.count * least)}, or choose a cheaper type",
        )
    elif most * facts.count > ceiling:
        yield _error(
            f"{facts.count} of {dear} cost {money(most * facts.count)} an hour, above "
            f"the ceiling of {money(ceiling)}",
            "--max-hourly-cost",
            _cheaper(int(ceiling // most), dear),
        )


def _cheaper(count: int, dear: str) -> str:
    fewer = f"launch fewer: --count {count}, or " if count else ""
    return f"{fewer}leave {dear} out of --instance-type, or raise the ceiling"


def _ami(facts: PlanFacts) -> Iterator[Finding]:
    if facts.outdated:
        yield _warning(
            f"the AMI is {spell(facts.ami_age)} old",
            facts.ami,
            "bake a new one: invoke bake",
        )


def _method(facts: PlanFacts) -> Iterator[Finding]:
    if facts.method == "password":
        yield _warning(
            "the nodes get the pool password: root on a node holds what the whole pool "
            "trusts, and it does not expire",
            "pool.method",
            "use idtokens where the pool can: invoke pool.config",
        )


def _error(what: str, where: str, mend: str) -> Finding:
    return Finding(Level.ERROR, what, where, mend)


def _warning(what: str, where: str, mend: str) -> Finding:
    return Finding(Level.WARNING, what, where, mend)

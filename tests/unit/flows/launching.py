"""A launch in moto's account: nodes that verify and join as told, calls in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from annexkit import annexes, tags
from annexkit.aws import AwsError
from annexkit.console import Console
from annexkit.errors import AnnexkitError, Finding, Level
from annexkit.flows import annex_pool, launch_follow, launch_plan, launch_run
from annexkit.flows import why as why_flow
from annexkit.flows.join_nodes import Joined
from annexkit.flows.launch_request import LaunchRequest
from annexkit.flows.site import Site
from annexkit.flows.verify_nodes import NodeResult
from annexkit.instances import Instance
from annexkit.pool.collector import About, Slot
from annexkit.pool.credentials import Secret
from annexkit.pool.target import Pool, PoolError
from annexkit.registry import ImageRecord, Registry, State
from annexkit.registry.model import Channels
from annexkit.settings import Settings
from annexkit.verify.checks import Check, NodeReport
from annexkit.verify.pool_side import Join
from tests.unit.flows.annex import a_slot
from tests.unit.helpers import BUILD, REGION, a_build, in_region

ROOT = Path(__file__).parents[3]
TOKEN = "eyJ.the-token-of-the-nodes.sig"
LAUNCH: dict[str, Any] = {
    "annex_name": "grid",
    "count": 2,
    "owner": "alice",
    "instance_types": "m7i.large",
    "hourly_price": "m7i.large=0.1",
    "ssh_cidrs": "192.0.2.0/24",
    "boot_timeout": 100,
    "join_timeout": 100,
}
POOL: dict[str, Any] = {"collector": "cm.example.org"}
READ_ONLY = ("describe_", "get_", "list_", "verify", "join")


def settings(
    site: Site,
    launch: dict[str, Any] | None = None,
    pool: dict[str, Any] | None = None,
) -> None:
    """Give a site other settings of a launch and its pool."""
    site.settings = Settings.model_validate(
        site.settings.model_dump()
        | {"launch": LAUNCH | (launch or {}), "pool": POOL | (pool or {}), "poll": 1}
    )


def stock(site: Site) -> str:
    """Put a ready build into the registry, with its AMI; return the AMI's id."""
    for name in ("packer", "provision", "cloud-init"):
        (site.root / name).symlink_to(ROOT / name)
    ami: str = site.cloud.call(
        REGION, "register_image", Name="baked", RootDeviceName="/dev/xvda"
    )["ImageId"]

    def put(registry: Registry) -> None:
        registry.images["debian13"] = ImageRecord(
            builds={BUILD: a_build({REGION: in_region(State.READY, ami)})},
            channels={"x86_64": {REGION: Channels(current=BUILD)}},
        )

    site.registry.update(put)
    return ami


@dataclass
class Told(Console):
    """A console that keeps what it says."""

    as_json: bool = False
    said: list[str] = field(default_factory=list)
    tables: list[dict[str, Any]] = field(default_factory=list)
    results: list[Any] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def step(self, text: str) -> None:
        self.said.append(text)

    def detail(self, text: str) -> None:
        self.said.append(text)

    def finding(self, found: Finding) -> None:
        self.said.append(str(found))
        self.findings.append(found)

    def error(self, error: AnnexkitError) -> None:
        for found in error.findings:
            self.finding(found)

    def result(self, data: Any, text: str = "") -> None:
        self.results.append(data)

    def table(
        self, columns: Any, rows: Any, *, title: str = "", data: Any = None
    ) -> None:
        self.tables.append(data or {"columns": columns, "rows": list(rows)})

    @property
    def text(self) -> str:
        return "\n".join(self.said)


@dataclass
class World:
    """What a launch meets, to be changed before it runs.

    ``room``: how many nodes AWS has in all. ``on``: what happens ahead of a call, by
    boto3's method name; it may raise. ``bad``: what is wrong with a node, by its number
    from 0 on: a failed check, ``late`` (not in the pool),
    ``slow`` (does not see its lease), ``stranger`` (another identity), ``far`` (no SSH
    from here), ``dead`` (SSH fails).
    """

    site: Site
    ami: str
    console: Told
    room: int = 1000
    refusal: str = "InsufficientInstanceCapacity"
    on: dict[str, Callable[..., None]] = field(default_factory=dict)
    bad: dict[int, str] = field(default_factory=dict)
    all_far: bool = False
    pool_down: PoolError | None = None
    pool_version: str = "25.14.1"
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, list[str]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    lifetimes: list[float] = field(default_factory=list)
    verified: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._call = self.site.cloud.call
        self._pages = self.site.cloud.pages
        self.site.cloud.call = self.call  # type: ignore[method-assign]
        self.site.cloud.pages = self.pages  # type: ignore[method-assign]

    def call(self, region: str, method: str, **arguments: Any) -> dict[str, Any]:
        self._begin(method, dict(arguments))
        if method == "terminate_instances":  # moto refuses those that ended, EC2 not
            ids = [i for i in arguments["InstanceIds"] if i not in self.ended]
            self.ended |= set(ids)
            return self._call(region, method, InstanceIds=ids) if ids else {}
        if method != "run_instances" or arguments.get("DryRun"):
            return self._call(region, method, **arguments)
        count = min(arguments["MaxCount"], self.room)
        if count < 1:
            raise AwsError(
                "no",
                code=self.refusal,
                action="RunInstances",
                region=region,
                refused=True,
            )
        said = self._call(
            region, method, **{**arguments, "MinCount": count, "MaxCount": count}
        )  # moto gives MinCount
        self.room -= count
        for one in said["Instances"]:
            self.numbers.setdefault(one["InstanceId"], len(self.numbers))
            self.tokens.setdefault(arguments.get("ClientToken", ""), []).append(
                one["InstanceId"]
            )
        return said

    def pages(self, region: str, method: str, key: str, **arguments: Any) -> Any:
        self._begin(method, arguments)
        for one in arguments.get("Filters", ()):
            if one["Name"] == "client-token":  # which moto does not know
                ids = [i for token in one["Values"] for i in self.tokens.get(token, ())]
                one.update(Name="instance-id", Values=ids or ["i-none"])
        return self._pages(region, method, key, **arguments)

    def _begin(self, method: str, arguments: dict[str, Any]) -> None:
        self.calls.append((method, arguments))
        if method in self.on:
            self.on[method](**arguments)

    def wrong(self, instance_id: str) -> str:
        return (
            "far"
            if self.all_far
            else self.bad.get(self.numbers.get(instance_id, -1), "")
        )

    def verify(
        self,
        site: Site,
        region: str,
        nodes: Sequence[Instance],
        *args: Any,
        on_done: Callable[[NodeResult], None],
        **options: Any,
    ) -> list[NodeResult]:
        self._begin("verify", {})
        self.verified.append([node.id for node in nodes])
        found = [self._checked(node.id) for node in nodes]
        for one in found:
            on_done(one)
        return found

    def _checked(self, instance_id: str) -> NodeResult:
        wrong = self.wrong(instance_id)
        if wrong == "far":
            error = AnnexkitError("no route", where=instance_id, mend="a VPN")
            return NodeResult(instance_id, "not checked", error=error)
        if wrong == "dead":
            error = AnnexkitError("it hangs", where=instance_id, mend="end it")
            return NodeResult(instance_id, "failed", error=error)
        failed = wrong not in ("", "late", "slow", "stranger")
        check = Check(name="swap", ok=not failed, detail=wrong, seconds=0.1)
        report = NodeReport(
            name=instance_id, checks=(check,), identity={}, boot_seconds=5
        )
        return NodeResult(instance_id, "ok", report, seconds={"checks": 5.0})

    def join(
        self,
        site: Site,
        pool: Pool,
        annex: str,
        ids: Sequence[str],
        *,
        timeout: float,
        on_joined: Callable[[Join], None],
    ) -> Joined:
        self._begin("join", {"ids": list(ids)})
        if self.pool_down:
            return Joined({}, self.pool_down)
        joins = {one: self._join(one) for one in ids if self.wrong(one) != "late"}
        for found in joins.values():
            on_joined(found)
        return Joined(joins)

    def _join(self, instance_id: str) -> Join:
        problem = "it is bob" if self.wrong(instance_id) == "stranger" else ""
        who = "annex@cm.example.org"
        return Join(instance_id, 7.0, who, "IDTOKENS", 1, True, problem)

    def about(self) -> About:
        if self.pool_down:
            raise self.pool_down
        return About(version=self.pool_version)

    def slots(self, annex: str) -> list[Slot]:
        """Answer as nodes that follow their tags."""
        if self.pool_down:
            raise self.pool_down
        found = annexes.find(self.site.cloud, REGION, annex).nodes
        return [
            a_slot(node.id, annex=annex, lease_expires=tags.expiry(node.tags))
            for node in found
            if self.wrong(node.id) != "slow"
        ]

    def secret(self, pool: Pool, lifetime: float) -> Secret:
        self._begin("new_secret", {})
        self.lifetimes.append(lifetime)
        expires = self.site.clock.time() + lifetime
        return Secret(TOKEN, pool.method, pool.identity, expires)

    def names(self, *wanted: str) -> list[str]:
        """Return the calls of these names, in their order."""
        return [name for name, _ in self.calls if name in wanted]

    def changed(self) -> list[str]:
        """Return the calls that change something in AWS, and the secrets minted."""
        return [n for n, _ in self.calls if not n.startswith(READ_ONLY)]

    def sent(self, method: str) -> list[dict[str, Any]]:
        """Return the arguments of every call of a method."""
        return [arguments for name, arguments in self.calls if name == method]

    def left(self) -> Counter[str]:
        """Count what costs money, holds a secret or acts later, and the journal."""
        call, none = self._call, dict[str, Any]()
        alive = ["pending", "running", "stopping", "stopped"]
        state = [{"Name": "instance-state-name", "Values": alive}]
        said = call(REGION, "describe_instances", Filters=state)["Reservations"]
        secrets = call(REGION, "describe_parameters", service="ssm", **none)
        times = call(REGION, "list_schedules", service="scheduler", **none)
        return +Counter(
            instances=sum(len(one["Instances"]) for one in said),
            secrets=len(secrets["Parameters"]),
            schedules=len(times["Schedules"]),
            journal=len(self.site.journal.entries()),
        )


def a_world(site: Site, patch: pytest.MonkeyPatch) -> World:
    """Return a stocked site in which every launch goes well."""
    settings(site)
    site.console = console = Told()
    world = World(site, stock(site), console)
    patch.setattr(launch_follow, "verify_nodes", world.verify)
    patch.setattr(launch_follow, "wait_joined", world.join)
    patch.setattr(launch_run, "new_secret", world.secret)

    def nobody(_: Pool) -> Any:
        raise PoolError("the collector is not asked in unit tests")

    patch.setattr(why_flow, "Collector", nobody)
    patch.setattr(launch_plan, "Collector", lambda _: world)
    patch.setattr(annex_pool, "Collector", lambda _: world)
    return world


def request(**changes: Any) -> LaunchRequest:
    """Return a request of a launch; flags go by the names of their settings."""
    own = ("image", "region", "canary", "dry_run")
    flags = {name: value for name, value in changes.items() if name not in own}
    rest = {name: value for name, value in changes.items() if name in own}
    return LaunchRequest(flags, **rest)


def errors(found: Sequence[Finding]) -> list[str]:
    """Return where the errors are."""
    return [one.where for one in found if one.level is Level.ERROR]

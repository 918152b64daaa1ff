"""Nodes verified over SSH, all at once, while they boot.

One DescribeInstances tells of all nodes; a console is asked only for a node that
listens already, or has had the time to; a thread is taken only for a node of which the
host keys are known. So a fleet that boots costs its launcher next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from annexkit import instances, ssh
from annexkit.aws import AwsError
from annexkit.errors import AnnexkitError
from annexkit.flows.site import Site
from annexkit.instances import ENDED, Instance
from annexkit.verify import checks, hostkeys
from annexkit.verify.fleet import Fleet, Outcome, Target
from annexkit.waiting import Deadline, wait_for

TICK = 0.5  # seconds between looks that cost no call
SHARE = 9  # times as long as an answer took is the least pause after it
A_FILTER = 200  # values in one filter of DescribeInstances
NO_ADDRESS = 15.0  # seconds that a running instance may lack its address
PLAUSIBLE = 30.0  # after so long a console is asked though nothing listens
CONSOLES_A_LOOK = 10  # GetConsoleOutput calls: at most 20 a second
PAUSE, GROWTH, LONGEST = 0.5, 1.5, 10.0  # seconds between two looks at one console
REACH = 60.0  # seconds for a private address, which may have no route from here
MARGIN = 1.0  # seconds before the end: a login says best itself why it failed
NOT_ALLOWED = ("UnauthorizedOperation", "AccessDenied", "AuthFailure")


class VerifyError(AnnexkitError):
    """A node could not be verified."""


@dataclass(frozen=True)
class Access:
    """How nodes are reached; ``interface`` is ``public_ip`` or ``private_ip``."""

    user: str
    key: ssh.Key
    interface: str
    known_hosts: Path
    port: int = ssh.PORT


@dataclass(frozen=True)
class NodeResult:
    """How one node did.

    :param ssh: ``ok`` when the checks ran, whatever they found; ``not checked`` when
        the node cannot be reached from here, which says nothing about the node.
    :param seconds: since the beginning, until ``console`` (host keys), ``login`` and
        ``checks``, as far as it came.
    """

    id: str
    ssh: Literal["ok", "failed", "not checked"]
    report: checks.NodeReport | None = None
    error: AnnexkitError | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Whether every check ran and passed."""
        return self.report is not None and not self.report.findings


@dataclass
class _Node:
    """Where one node stands; times are the clock's monotonic ones."""

    instance: Instance
    running: float | None = None
    listens: bool = False
    ask_at: float = 0.0
    pause: float = PAUSE
    keys: tuple[ssh.HostKey, ...] = ()
    submitted: float | None = None
    trouble: AwsError | None = None
    result: NodeResult | None = None
    seconds: dict[str, float] = field(default_factory=dict)


def verify_nodes(
    site: Site,
    region: str,
    nodes: Sequence[Instance],
    access: Access,
    expected: Callable[[Instance], checks.Expected],
    *,
    timeout: float,
    on_done: Callable[[NodeResult], None] = lambda _: None,
) -> list[NodeResult]:
    """Wait for every node, log in, run all checks; return results in the nodes' order.

    :param expected: what a node should be; called when its checks begin.
    :param timeout: seconds for all of it; what is not done then has failed.
    :param on_done: told of each node as it is done, in the caller's thread.
    """
    with Fleet[checks.NodeReport](
        access.key, site.settings.launch.parallel, site.clock
    ) as fleet:
        work = _Verification(site, region, access, expected, timeout, on_done, fleet)
        return work.run(nodes)


@dataclass
class _Verification:
    site: Site
    region: str
    access: Access
    expected: Callable[[Instance], checks.Expected]
    timeout: float
    on_done: Callable[[NodeResult], None]
    fleet: Fleet[checks.NodeReport]
    nodes: dict[str, _Node] = field(default_factory=dict)
    _describe_at: float = 0.0

    def __post_init__(self) -> None:
        self.begin = self._now()
        self.known = hostkeys.KnownHosts(self.access.known_hosts)

    def run(self, nodes: Sequence[Instance]) -> list[NodeResult]:
        """Look again and again until each node has its result."""
        self.nodes = {node.id: _Node(node) for node in nodes}
        for name, keys in self.known.read().items():
            if name in self.nodes:
                self.nodes[name].keys = tuple(keys)
        with suppress(Deadline):
            wait_for(
                self._look,
                what="verification",
                timeout=self.timeout,
                poll=min(TICK, self.site.settings.poll),
                clock=self.site.clock,
            )
        for node in self._waiting():
            self._finish(node, "failed", error=self._too_late(node))
        return [n.result for n in self.nodes.values() if n.result]

    def _look(self) -> bool:
        """Look once at all that is not done; True when nothing is left."""
        self._collect()
        self._describe()
        self._listen()
        self._ask_consoles()
        for node in self._waiting():
            if node.running is not None and node.keys and node.submitted is None:
                self._submit(node)
        return not any(self._waiting())

    def _waiting(self) -> Iterator[_Node]:
        return (node for node in self.nodes.values() if node.result is None)

    def _now(self) -> float:
        return self.site.clock.monotonic()

    def _describe(self) -> None:
        """Ask EC2 once for all nodes that are not done, at the settings' pace.

        What answers slowly is asked more seldom: it must not spend its time on us.
        """
        begin = self._now()
        if begin < self._describe_at:
            return
        waiting = [node.instance.id for node in self._waiting()]
        for start in range(0, len(waiting), A_FILTER):
            for found in self._asked(waiting[start : start + A_FILTER]):
                self._note(self.nodes[found.id], found)
        now = self._now()
        pause = max(self.site.settings.poll, (now - begin) * SHARE)
        self._describe_at = now + min(pause, LONGEST)

    def _asked(self, ids: Sequence[str]) -> list[Instance]:
        try:
            return instances.find(self.site.cloud, self.region, {}, ids)
        except AwsError as error:
            if error.code in NOT_ALLOWED:
                raise
            for name in ids:  # throttled, or the network: the next look may do
                self.nodes[name].trouble = error
            return []

    def _note(self, node: _Node, found: Instance) -> None:
        node.instance = found
        if found.state in ENDED:
            self._finish(node, "failed", error=self._ended(node))
        elif found.state == "running":
            node.running = self._now() if node.running is None else node.running
            if found.address(self.access.interface):
                return
            if self._now() - node.running >= NO_ADDRESS:
                self._finish(node, "not checked", error=self._no_address(node))

    def _listen(self) -> None:
        """Look who listens; a connection is opened and closed, nothing is said."""
        at = [
            ((node.instance.address(self.access.interface), self.access.port), node)
            for node in self._waiting()
            if self._reachable(node) and not node.listens and not node.keys
        ]
        found = ssh.listening(address for address, _ in at)
        for address, node in at:
            node.listens = address in found

    def _reachable(self, node: _Node) -> bool:
        address = node.instance.address(self.access.interface)
        return node.running is not None and bool(address)

    def _ask_consoles(self) -> None:
        """Ask the consoles that may have host keys by now, a few each time."""
        now = self._now()
        todo = [
            node
            for node in self._waiting()
            if self._reachable(node) and not node.keys and node.ask_at <= now
            if node.listens or now - (node.running or now) >= PLAUSIBLE
        ]
        found = dict[str, tuple[ssh.HostKey, ...]]()
        for node in sorted(todo, key=lambda n: n.ask_at)[:CONSOLES_A_LOOK]:
            if keys := self._console(node):
                node.keys = found[node.instance.id] = keys
                node.seconds["console"] = round(self._now() - self.begin, 3)
        if found:
            self.known.pin(found)

    def _console(self, node: _Node) -> tuple[ssh.HostKey, ...]:
        node.ask_at = self._now() + node.pause
        node.pause = min(node.pause * GROWTH, LONGEST)
        name = node.instance.id
        try:
            text = instances.console_text(self.site.cloud, self.region, name)
        except AwsError as error:
            node.trouble = error
            if error.code in NOT_ALLOWED:
                self._finish(node, "failed", error=error)
            return ()
        return tuple(hostkeys.parse_console(text))

    def _submit(self, node: _Node) -> None:
        node.submitted = self._now()
        left = max(MARGIN, self.begin + self.timeout - self._now() - MARGIN)
        patience = min(left, self.site.settings.ssh.timeout)
        if self._private:
            patience = min(patience, REACH)
        address = node.instance.address(self.access.interface)
        name = node.instance.id
        target = Target(name, address, self.access.user, node.keys, self.access.port)
        self.fleet.submit(
            target,
            partial(self._check, node),
            timeout=patience,
            still_there=lambda: node.result is None,
        )

    def _check(self, node: _Node, connection: ssh.Connection) -> checks.NodeReport:
        node.seconds["login"] = round(self._now() - self.begin, 3)
        expected = self.expected(node.instance)
        return checks.run_checks(connection, node.instance.id, expected)

    @property
    def _private(self) -> bool:
        return self.access.interface == "private_ip"

    def _collect(self) -> None:
        for outcome in self.fleet.finished():
            node = self.nodes[outcome.target.name]
            if node.result is None:
                self._judge(node, outcome)

    def _judge(self, node: _Node, outcome: Outcome[checks.NodeReport]) -> None:
        if outcome.error is None:
            node.seconds["checks"] = round(self._now() - self.begin, 3)
            self._finish(node, "ok", report=outcome.value)
            return
        kind = getattr(outcome.error, "kind", None)
        far = self._private and kind is ssh.Kind.UNREACHABLE
        self._finish(node, "not checked" if far else "failed", error=outcome.error)

    def _finish(
        self,
        node: _Node,
        how: Literal["ok", "failed", "not checked"],
        *,
        report: checks.NodeReport | None = None,
        error: AnnexkitError | None = None,
    ) -> None:
        node.result = NodeResult(node.instance.id, how, report, error, node.seconds)
        self.on_done(node.result)

    def _ended(self, node: _Node) -> VerifyError:
        reason = node.instance.reason or "EC2 gives no reason"
        return self._error(node, f"the instance is {node.instance.state}: {reason}")

    def _no_address(self, node: _Node) -> VerifyError:
        return VerifyError(
            f"the instance has no {self.access.interface}, so SSH cannot reach it",
            where=node.instance.id,
            mend="set ssh.interface to the other one, or use a subnet that gives it",
        )

    def _too_late(self, node: _Node) -> AnnexkitError:
        if node.running is None:
            what = f"the instance is still {node.instance.state}"
        elif not node.keys:
            what = "its console shows no host keys"
            what += "" if node.listens else ", and nothing listens for SSH"
        elif "login" not in node.seconds:
            what = "nobody could log in"
        else:
            what = "its checks did not end"
        what += f" after {self.timeout:g} s"
        if node.trouble is not None:
            what += f"; AWS said last: {node.trouble.what}"
        return self._error(node, what)

    def _error(self, node: _Node, what: str) -> VerifyError:
        name = node.instance.id
        return VerifyError(
            what, where=name, mend=f"invoke why {name} --region {self.region}"
        )

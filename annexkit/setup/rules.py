"""The six rules that the 2016 guide puts into a security group (its step 6).

Here they are values only: what each opens, for whom, and which of them today's HTCondor
needs. No AWS call is made.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from annexkit.errors import (
    Finding,
    FindingsError,
    Level,
    UsageError,
    nearest,
)
from annexkit.network import SSH
from annexkit.settings import split_flag

Net = ipaddress.IPv4Network | ipaddress.IPv6Network
ALL = -1  # EC2's word for all ports, and for all types of ICMP
ANY = "-1"  # EC2's word for all protocols
CONDOR = 9618  # HTCondor's shared port, as IANA registered it
WORLD = "0.0.0.0/0"  # what the guide opens ports to
# From this prefix on a network is half of the internet: of all IPv4, and of 2000::/3,
# which is all that IPv6 has given out (RFC 4291, 2.4).
HALF = {4: 1, 6: 4}
# EC2 takes numbers, too (AuthorizeSecurityGroupIngress, IpProtocol).
NUMBERS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6"}


@dataclass(frozen=True, order=True)
class Rule:
    """One source that may come in, as EC2 tells rules apart.

    ``protocol``: ``tcp``, ``udp``, ``icmp``, ``icmpv6``, a number, or :data:`ANY`.
    ``first`` and ``last``: ports, or :data:`ALL`. ``source``: a CIDR, or the id of a
    security group or of a prefix list.
    """

    protocol: str
    first: int
    last: int
    source: str

    def __str__(self) -> str:
        """Say it the way the console of AWS does; a tag of EC2's can hold it."""
        return f"{self._what()} from {self.source}"

    def _what(self) -> str:
        if self.protocol == ANY:
            return "all traffic"
        if self.first == ALL:
            return f"all {self.protocol}"
        if self.first == self.last:
            return f"{self.first}/{self.protocol}"
        return f"{self.first}-{self.last}/{self.protocol}"


@dataclass(frozen=True)
class Part:
    """One rule of the guide: its number there, our word for it, and who may come in.

    ``needless`` says why it is left out unless somebody asks for it.
    """

    number: int
    name: str
    protocol: str
    port: int
    source: Literal["group", "vpc", "cidrs"]
    needless: str = ""

    def rule(self, source: str) -> Rule:
        """Return the rule for one source; ICMP has another name under IPv6."""
        six = self.protocol == "icmp" and ":" in source
        return Rule("icmpv6" if six else self.protocol, self.port, self.port, source)


GUIDE = (
    Part(1, "self", ANY, ALL, "group"),
    Part(2, "vpc", ANY, ALL, "vpc", "it lets every machine of the VPC in to all"),
    Part(3, "ssh", "tcp", SSH, "cidrs"),
    Part(4, "icmp", "icmp", ALL, "cidrs", "HTCondor needs no ICMP"),
    Part(5, "condor-udp", "udp", CONDOR, "cidrs", "HTCondor's shared port is TCP"),
    Part(6, "condor", "tcp", CONDOR, "cidrs"),
)
EVERY = "all"


def chosen(words: str | None) -> tuple[Part, ...]:
    """Return the rules of a flag's words, in the guide's order; the needed ones else.

    :param words: names with commas, or ``all``; None when the flag was not given.
    :raises UsageError: one is no name of a rule.
    """
    if words is None:
        return tuple(part for part in GUIDE if not part.needless)
    names = [part.name for part in GUIDE]
    given = split_flag(words, (), where="--rules")
    for word in given:
        if word not in (*names, EVERY):
            raise UsageError(
                f"the guide has no rule '{word}'",
                where="--rules",
                mend=nearest(word, [*names, EVERY])
                or f"choose of: {', '.join(names)}; or {EVERY}",
            )
    return tuple(p for p in GUIDE if EVERY in given or p.name in given)


@dataclass(frozen=True)
class Sources:
    """Who may come in: CIDRs, each once.

    ``world``: those that are, alone or together, the internet or half of it.
    ``notes`` say what was named in vain.
    """

    cidrs: tuple[str, ...]
    world: frozenset[str] = frozenset()
    notes: tuple[Finding, ...] = ()


def sources(
    given: Sequence[str], parts: Iterable[Part], *, world_open: bool
) -> Sources:
    """Return the networks that a person named, in their plain form.

    One that lies within another is left out: it opens nothing more.

    :param given: words of ``--cidr``, with commas or not.
    :param world_open: the whole internet may be among them; alone it is :data:`WORLD`.
    :raises FindingsError: some are no networks.
    :raises UsageError: the internet without the flag; or the rules want a source and
        none is named, or the other way.
    """
    words = split_flag(",".join(given), (), where="--cidr") if given else ()
    _check_asked(bool(words or world_open), parts)
    nets = _networks(words or ((WORLD,) if world_open else ()))
    kept: list[Net] = []
    notes: list[Finding] = []
    for net in nets:
        wider = next((o for o in nets if o != net and _within(net, o)), None)
        if wider is None:
            kept.append(net)
        else:
            what = f"{net} lies within {wider}, and needs no rule of its own"
            notes.append(Finding(Level.INFO, what, "--cidr"))
    world = [str(net) for net in _world(kept)]
    if world and not world_open:
        raise UsageError(
            f"{' and '.join(world)}: that is the internet, or half of it",
            where="--cidr",
            mend="name the networks you come from, or say that you mean everybody: "
            "--world-open",
        )
    return Sources(tuple(map(str, kept)), frozenset(world), tuple(notes))


def wanted(
    parts: Iterable[Part], cidrs: Iterable[str], *, group: str, vpc: Iterable[str]
) -> dict[Rule, Part]:
    """Return every rule that the chosen parts come to.

    :param group: the id of the security group itself.
    :param vpc: the CIDRs of its VPC.
    """
    lists: Mapping[str, Iterable[str]] = {
        "group": (group,),
        "vpc": tuple(vpc),
        "cidrs": tuple(cidrs),
    }
    return {part.rule(source): part for part in parts for source in lists[part.source]}


def _check_asked(named: bool, parts: Iterable[Part]) -> None:
    """Refuse rules without their source, and a source that no rule takes."""
    needs = [part.name for part in parts if part.source == "cidrs"]
    if needs and not named:
        raise UsageError(
            f"nobody is named who may come in ({', '.join(needs)})",
            where="--cidr",
            mend="name the networks you come from: --cidr 192.0.2.0/24",
        )
    if named and not needs:
        raise UsageError(
            "none of the chosen rules takes a source",
            where="--cidr",
            mend="leave --cidr and --world-open out, or choose ssh or condor in "
            "--rules",
        )


def _networks(words: Iterable[str]) -> tuple[Net, ...]:
    """Read networks, each once; say all that is wrong at once."""
    nets: dict[Net, None] = {}
    wrong: list[Finding] = []
    for word in words:
        try:
            nets[_network(word)] = None
        except UsageError as error:
            wrong += error.findings
    if wrong:
        raise FindingsError(wrong)
    return tuple(nets)


def _network(word: str) -> Net:
    try:
        if "%" in word:  # a zone of this machine means nothing in EC2
            raise ValueError
        given = ipaddress.ip_network(word, strict=False)
    except ValueError:
        raise UsageError(
            f"'{word}' is no network",
            where="--cidr",
            mend="write it as 192.0.2.0/24, 192.0.2.7/32 or 2001:db8::/64",
        ) from None
    address = ipaddress.ip_interface(word).ip
    if address != given.network_address:
        raise UsageError(
            f"'{word}' is an address within {given}, not a network",
            where="--cidr",
            mend=f"write {given} for all of it, or "
            f"{address}/{address.max_prefixlen} for that address alone",
        )
    return given


def _world(nets: Sequence[Net]) -> list[Net]:
    """Return what is the internet or half of it, named at once or in pieces."""
    four = [net for net in nets if isinstance(net, ipaddress.IPv4Network)]
    six = [net for net in nets if isinstance(net, ipaddress.IPv6Network)]
    together: list[Net] = [
        *ipaddress.collapse_addresses(four),
        *ipaddress.collapse_addresses(six),
    ]
    # What is private is narrower in both: 10.0.0.0/8, fc00::/7.
    wide = [net for net in together if net.prefixlen <= HALF[net.version]]
    return [net for net in nets if any(_within(net, one) for one in wide)]


def _within(net: Net, other: Net) -> bool:
    if isinstance(net, ipaddress.IPv4Network):
        return isinstance(other, ipaddress.IPv4Network) and net.subnet_of(other)
    return isinstance(other, ipaddress.IPv6Network) and net.subnet_of(other)

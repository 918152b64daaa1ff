"""The guide's six rules as values, and the sources that a person names for them."""

from __future__ import annotations

import re

import pytest

from annexkit.errors import FindingsError, Level, UsageError
from annexkit.setup import rules
from annexkit.setup.rules import ALL, ANY, GUIDE, Rule, Sources

HOME = "192.0.2.0/24"
LAB = "2001:db8::/48"
NEEDED = rules.chosen(None)
EVERY = rules.chosen("all")
# What EC2 lets a tag's value hold (EC2 user guide, Tag your resources).
TAG = re.compile(r"[\w +\-=.:/@]{1,256}")


def named(*given: str, world_open: bool = False) -> Sources:
    return rules.sources(given, NEEDED, world_open=world_open)


def test_the_guide_has_six_rules_and_three_are_needed() -> None:
    assert [part.number for part in GUIDE] == [1, 2, 3, 4, 5, 6]
    assert [part.name for part in NEEDED] == ["self", "ssh", "condor"]
    assert all(part.needless for part in GUIDE if part not in NEEDED)


def test_all_six_are_what_the_guide_opens() -> None:
    found = rules.wanted(EVERY, [HOME], group="sg-1", vpc=["172.31.0.0/16"])
    assert list(found) == [
        Rule(ANY, ALL, ALL, "sg-1"),
        Rule(ANY, ALL, ALL, "172.31.0.0/16"),
        Rule("tcp", 22, 22, HOME),
        Rule("icmp", ALL, ALL, HOME),
        Rule("udp", 9618, 9618, HOME),
        Rule("tcp", 9618, 9618, HOME),
    ]
    assert [part.number for part in found.values()] == [1, 2, 3, 4, 5, 6]


def test_every_source_gets_each_rule_and_icmp_its_name_under_ipv6() -> None:
    parts = rules.chosen("icmp,condor")
    assert list(rules.wanted(parts, [HOME, LAB], group="sg-1", vpc=())) == [
        Rule("icmp", ALL, ALL, HOME),
        Rule("icmpv6", ALL, ALL, LAB),
        Rule("tcp", 9618, 9618, HOME),
        Rule("tcp", 9618, 9618, LAB),
    ]


def test_names_come_in_the_guides_order_each_once() -> None:
    assert [p.name for p in rules.chosen("condor, ssh,condor")] == ["ssh", "condor"]
    assert rules.chosen("ssh,all") == GUIDE


@pytest.mark.parametrize(
    ("words", "mend"),
    [("shh", "did you mean 'ssh'?"), ("8", "choose of: self, vpc"), ("", "name at")],
)
def test_a_word_that_is_no_rule_is_refused(words: str, mend: str) -> None:
    with pytest.raises(UsageError) as caught:
        rules.chosen(words)
    assert caught.value.where == "--rules"
    assert mend in caught.value.mend


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (Rule("tcp", 22, 22, HOME), f"22/tcp from {HOME}"),
        (Rule("udp", 1, 9, LAB), f"1-9/udp from {LAB}"),
        (Rule(ANY, ALL, ALL, "sg-1"), "all traffic from sg-1"),
        (Rule("icmpv6", ALL, ALL, LAB), f"all icmpv6 from {LAB}"),
    ],
)
def test_a_rule_says_what_it_opens_and_a_tag_can_hold_it(rule: Rule, said: str) -> None:
    assert str(rule) == said
    assert TAG.fullmatch(f"condor-udp {rule}")


def test_sources_come_in_their_plain_form_each_once() -> None:
    found = named("192.0.2.0/255.255.255.0, 198.51.100.7", "2001:DB8:0::/48", HOME)
    assert found == Sources((HOME, "198.51.100.7/32", LAB))


def test_a_source_within_another_needs_no_rule_and_that_is_said() -> None:
    found = named("192.0.2.7", HOME, "2001:db8::1", LAB)
    assert found.cidrs == (HOME, LAB)
    assert [note.level for note in found.notes] == [Level.INFO, Level.INFO]
    assert [note.what for note in found.notes] == [
        f"192.0.2.7/32 lies within {HOME}, and needs no rule of its own",
        f"2001:db8::1/128 lies within {LAB}, and needs no rule of its own",
    ]


def test_neighbours_stay_the_two_that_a_person_named() -> None:
    found = named("192.0.2.0/25", "192.0.2.128/25")
    assert found == Sources(("192.0.2.0/25", "192.0.2.128/25"))


@pytest.mark.parametrize(
    ("word", "what", "mend"),
    [
        ("192.0.2.9/24", "within 192.0.2.0/24", "192.0.2.9/32 for that address"),
        ("2001:db8::1/48", "within 2001:db8::/48", "2001:db8::1/128 for that address"),
        ("192.0.2.300/24", "is no network", "192.0.2.0/24"),
        ("192.0.2.0/33", "is no network", "192.0.2.0/24"),
        ("192.0.2.0/24/8", "is no network", "192.0.2.0/24"),
        ("fe80::%eth0/64", "is no network", "2001:db8::/64"),
        ("home", "is no network", "192.0.2.0/24"),
        ("1.2.3.4/0", "within 0.0.0.0/0", "1.2.3.4/32 for that address"),
    ],
)
def test_what_is_no_network_is_refused(word: str, what: str, mend: str) -> None:
    with pytest.raises(UsageError) as caught:
        named(word, world_open=True)
    [finding] = caught.value.findings
    assert finding.where == "--cidr"
    assert f"'{word}'" in finding.what and what in finding.what
    assert mend in finding.mend


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(FindingsError) as caught:
        named("home", HOME, "192.0.2.9/24")
    assert [f.what.partition(" ")[0] for f in caught.value.findings] == [
        "'home'",
        "'192.0.2.9/24'",
    ]


@pytest.mark.parametrize(
    "given",
    [
        ("0.0.0.0/0",),
        ("::/0",),
        ("128.0.0.0/1",),
        ("0.0.0.0/1", "128.0.0.0/1"),
        ("0.0.0.0/2", "64.0.0.0/2"),
        ("2000::/3",),
        ("2000::/5", "2800::/5"),
    ],
)
def test_everybody_is_let_in_only_by_the_flag(given: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="that is the internet") as caught:
        named(HOME, *given)
    assert "--world-open" in caught.value.mend
    assert all(word in caught.value.what for word in given)
    assert named(*given, world_open=True).world == frozenset(given)


@pytest.mark.parametrize("given", ["10.0.0.0/8", "0.0.0.0/2", "fc00::/7", "2001::/16"])
def test_a_wide_network_is_not_everybody(given: str) -> None:
    assert named(given) == Sources((given,))


def test_the_flag_alone_is_the_guides_own_source() -> None:
    assert named(world_open=True) == Sources(
        ("0.0.0.0/0",), world=frozenset({"0.0.0.0/0"})
    )
    assert named(HOME, world_open=True) == Sources((HOME,))


def test_rules_that_want_a_source_are_not_without() -> None:
    with pytest.raises(UsageError, match=r"nobody is named .*\(ssh, condor\)"):
        named()
    with pytest.raises(UsageError, match="without a word"):
        named("")
    assert rules.sources((), rules.chosen("self,vpc"), world_open=False) == Sources(())


@pytest.mark.parametrize(("given", "world_open"), [((HOME,), False), ((), True)])
def test_a_source_that_no_rule_takes_is_not_passed_over(
    given: tuple[str, ...], world_open: bool
) -> None:
    with pytest.raises(UsageError, match="none of the chosen rules takes a source"):
        rules.sources(given, rules.chosen("self,vpc"), world_open=world_open)

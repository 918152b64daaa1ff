from __future__ import annotations

import json
from ipaddress import IPv4Network

import pytest

from annexkit.errors import UsageError
from annexkit.process import Completed
from annexkit.rehearsal import subnets

HOME = ("a route over eth0", IPv4Network("192.168.1.0/24"))


def test_the_first_network_that_nobody_has_is_taken() -> None:
    taken = [HOME, ("other", IPv4Network("10.128.0.0/19"))]
    assert str(subnets.choose("auto", taken)) == "10.128.32.0/20"


def test_no_free_network_says_which_setting_mends_it() -> None:
    with pytest.raises(UsageError) as caught:
        subnets.choose("auto", [("vpn", IPv4Network("10.0.0.0/8"))])
    assert caught.value.where == "annexkit.rehearsal.subnet"


def test_a_network_that_is_taken_names_who_has_it() -> None:
    with pytest.raises(UsageError, match=r"a route over eth0 has 192\.168\.1\.0/24"):
        subnets.choose("192.168.0.0/16", [HOME])


def test_a_free_network_that_was_asked_for_is_taken() -> None:
    assert str(subnets.choose("172.31.0.0/20", [HOME])) == "172.31.0.0/20"


@pytest.mark.parametrize(
    "wrong",
    ["mine", "10.0.0.0/33", "8.8.0.0/20", "10.0.0.0/8", "10.0.0.0/30", "10.0.0.1/20"],
)
def test_what_is_no_private_network_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError) as caught:
        subnets.choose(wrong, [])
    assert caught.value.mend


def test_networks_in_use_are_routes_and_podmans_but_not_our_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    routes = [
        {"dst": "default", "dev": "eth0"},
        {"dst": "10.0.0.0/24", "dev": "eth0"},
        {"dst": "10.128.0.0/20", "dev": "podman1"},
        {"dst": "10.5.0.1", "dev": "tun0"},
    ]

    def run(*args: str) -> Completed:
        return Completed(args, 0, json.dumps(routes), "")

    monkeypatch.setattr(subnets, "run", run)
    podman = [
        ("podman", "10.88.0.0/16"),
        ("ours", "10.128.0.0/20"),
        ("v6", "fd00::/64"),
    ]
    assert subnets.taken(podman, "ours") == [
        ("podman's network podman", IPv4Network("10.88.0.0/16")),
        ("a route over eth0", IPv4Network("10.0.0.0/24")),
        ("a route over tun0", IPv4Network("10.5.0.1/32")),
    ]

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from annexkit.rehearsal import wire
from annexkit.rehearsal.faults import Machines
from annexkit.rehearsal.image_view import Disk, Image, leave_out_others, put_right
from annexkit.rehearsal.machines import Machine, State
from annexkit.rehearsal.site import Site
from annexkit.rehearsal.view import Instance, View, other_host_keys, trouble_of
from annexkit.rehearsal.wire import Element, parse, text_of
from tests.unit.rehearsal.samples import Answers, a_call

ITEM = (
    "<item><instanceId>i-1</instanceId><clientToken>ABCDE</clientToken>"
    "<privateIpAddress>172.31.0.9</privateIpAddress>"
    "<privateDnsName>ip-172-31-0-9.us-west-2.compute.internal</privateDnsName>"
    "<ipAddress>54.0.0.1</ipAddress><networkInterfaceSet><item>"
    "<privateIpAddress>172.31.0.9</privateIpAddress>"
    "<privateDnsName>ip-172-31-0-9.ec2.internal</privateDnsName></item>"
    "</networkInterfaceSet><instanceState><code>16</code><name>running</name>"
    "</instanceState></item>"
)
DESCRIBED = (
    "<r><reservationSet><item><reservationId>r-1</reservationId><instancesSet>"
    f"{ITEM}</instancesSet></item></reservationSet></r>"
)


def an_instance(state: State = State.RUNNING, reason: str = "") -> Instance:
    machine = cast(Machine, SimpleNamespace(state=state, reason=reason))
    return Instance("i-1", "us-west-2", "ami-1", "172.31.0.9", "10.128.0.10", machine)


def describe(instance: Instance, **filters: str) -> tuple[Element, Answers]:
    moto = Answers(DescribeInstances=DESCRIBED)
    site = cast(Site, SimpleNamespace(moto=moto))
    known = {"i-1": instance}
    view = View(site, known.get, lambda: [instance])
    return view.describe(a_call("DescribeInstances", **filters)), moto


def a_filter(name: str, value: str) -> dict[str, str]:
    return {"Filter__1__Name": name, "Filter__1__Value__1": value}


def test_the_machines_address_and_state_show_everywhere() -> None:
    root, _ = describe(an_instance(State.PENDING))
    text = wire.write(root)
    assert "172.31.0.9" not in text
    assert "172-31-0-9" not in text
    item = next(root.iter("instancesSet"))[0]
    assert text_of(item, "privateIpAddress") == "10.128.0.10"
    assert text_of(item, "networkInterfaceSet/item/privateDnsName") == (
        "ip-10-128-0-10.us-west-2.compute.internal"
    )
    state = [text_of(item, f"instanceState/{part}") for part in ("code", "name")]
    assert state == ["0", "pending"]
    assert text_of(item, "clientToken") == ""


@pytest.mark.parametrize(
    ("asked", "page"),
    [({}, "1000"), ({"MaxResults": "5"}, "5"), ({"InstanceId__1": "i-1"}, None)],
)
def test_moto_gives_as_many_at_once_as_ec2(
    asked: dict[str, str], page: str | None
) -> None:
    _, moto = describe(an_instance(), **asked)
    assert moto.calls[-1].params.get("MaxResults") == page


@pytest.mark.parametrize(
    ("name", "value", "there"),
    [
        ("instance-state-name", "pending", True),
        ("instance-state-name", "running", False),
        ("private-ip-address", "10.128.0.10", True),
        ("private-ip-address", "172.31.0.9", False),
        ("client-token", "ABCDE", False),
    ],
)
def test_a_filter_is_about_what_shows(name: str, value: str, there: bool) -> None:
    root, moto = describe(an_instance(State.PENDING), **a_filter(name, value))
    assert (len(list(root.iterfind("reservationSet/item"))) == 1) is there
    assert set(moto.calls[0].params) == {"MaxResults"}


def test_a_filter_that_only_moto_knows_is_left_to_moto() -> None:
    _, moto = describe(an_instance(), **a_filter("reservation-id", "r-1"))
    assert moto.calls[0].get("Filter.1.Name") == "reservation-id"


def test_what_is_terminated_has_no_address_and_says_why() -> None:
    reason = "Client.InstanceInitiatedShutdown: Instance initiated shutdown"
    root, _ = describe(an_instance(State.TERMINATED, reason))
    item = next(root.iter("instancesSet"))[0]
    assert item.find("privateIpAddress") is None
    assert item.find("networkInterfaceSet") is None
    assert text_of(item, "stateReason/code") == "Client.InstanceInitiatedShutdown"
    assert text_of(item, "stateReason/message") == reason


def an_image(**changes: Any) -> Image:
    return Image("ami-1", "us-west-2", "ref", Disk("9", "gp3", "true"), **changes)


def test_an_image_shows_its_disk_and_what_moto_dropped() -> None:
    item = parse(
        "<item><rootDeviceType>standard</rootDeviceType><description/>"
        "<blockDeviceMapping><item><deviceName>/dev/sda1</deviceName><ebs>"
        "<volumeSize>15</volumeSize></ebs></item></blockDeviceMapping></item>"
    )
    source = {"sourceImageId": "ami-0"}
    put_right(item, an_image(imds="v2.0", description="x", source=source))
    shown = {
        path: text_of(item, path)
        for path in (
            "imageState",
            "rootDeviceType",
            "blockDeviceMapping/item/deviceName",
            "blockDeviceMapping/item/ebs/volumeSize",
            "blockDeviceMapping/item/ebs/encrypted",
            "imdsSupport",
            "description",
            "sourceImageId",
        )
    }
    assert list(shown.values()) == [
        "pending",
        "ebs",
        "/dev/xvda",
        "9",
        "true",
        "v2.0",
        "x",
        "ami-0",
    ]


def test_an_image_that_failed_says_why() -> None:
    item = parse("<item/>")
    put_right(item, an_image(state="failed", reason="no space left"))
    assert text_of(item, "stateReason/message") == "no space left"
    assert item.find("imdsSupport") is None


def test_other_accounts_snapshots_are_left_out() -> None:
    owners = ("136693071363", "123456789012")
    items = "".join(f"<item><ownerId>{o}</ownerId></item>" for o in owners)
    root = parse(f"<r><snapshotSet>{items}</snapshotSet></r>")
    leave_out_others(root)
    assert [text_of(i, "ownerId") for i in root.iter("item")] == ["123456789012"]


def test_a_console_may_show_another_host_key() -> None:
    key = "AAAAC3NzaC1lZDI1NTE5AAAAIMxbkaBy+/g6sTPNXrfuTfininRhivmrQ8AXqeYqn9r3"
    text = f"begin\r\nssh-rsa AAAAB3 root@x\r\nssh-ed25519 {key} root@x\r\nend\r\n"
    found = other_host_keys(text).split()
    assert [w for w in found if w.startswith("ssh-")] == ["ssh-ed25519"]
    assert found[2].startswith("AAAAC3NzaC1lZDI1NTE5AAAAI")
    assert len(found[2]) == len(key)
    assert found[2] != key


def test_a_launchs_first_machines_have_its_troubles() -> None:
    troubles = [Machines(count=1, never_boots=True)]
    assert [trouble_of(troubles, n).never_boots for n in (0, 1)] == [True, False]

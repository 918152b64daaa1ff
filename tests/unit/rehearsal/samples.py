"""Values that the rehearsal's unit tests share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from annexkit.rehearsal.imds import Identity
from annexkit.rehearsal.state import BaseImage, Rehearsal
from annexkit.rehearsal.wire import Call, Element, parse

BASE = BaseImage(
    suite="trixie",
    digest="0123456789ab",
    ami_id="ami-00000000000000001",
    name="debian-13-amd64-20240517-0001",
    created="2024-05-17T12:00:00.000Z",
    ref="localhost/annexkit-base:trixie-1",
)


def a_rehearsal(folder: Path, **changes: Any) -> Rehearsal:
    values: dict[str, Any] = {
        "id": "01234567",
        "dir": folder,
        "port": 4567,
        "subnet": "10.128.0.0/20",
        "runtime": "runc",
        "machines": 4,
        "base": BASE,
    }
    return Rehearsal(**{**values, **changes})


def an_identity(**changes: Any) -> Identity:
    values: dict[str, Any] = {
        "instance_id": "i-0123456789abcdef0",
        "image_id": BASE.ami_id,
        "instance_type": "t3.micro",
        "region": "us-west-2",
        "zone": "us-west-2a",
        "account": "123456789012",
        "private_ip": "10.128.0.10",
        "mac": "02:00:00:00:00:10",
        "hostname": "ip-10-128-0-10.us-west-2.compute.internal",
    }
    return Identity(**{**values, **changes})


def a_call(action: str, region: str = "us-west-2", **params: str) -> Call:
    return Call("ec2", region, action).having(**params)


class Answers:
    """Stands where moto does: answers each action with one given XML text."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.calls: list[Call] = []

    def ask(self, call: Call) -> Element:
        self.calls.append(call)
        return parse(self.answers[call.action])

    def ec2(self, region: str, action: str, **params: str) -> Element:
        return self.ask(Call("ec2", region, action).having(**params))

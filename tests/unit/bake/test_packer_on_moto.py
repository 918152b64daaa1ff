"""The real Packer's amazon builder, with moto for EC2: AMIs, and clean-up when stopped.

Without a communicator there is no machine to log in to, so moto alone is enough; the
step that runs is a shell-local one.
"""

from __future__ import annotations

import os
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from annexkit.bake import packer
from annexkit.bake.packer_log import Event, GuestLine, Phase, Step
from annexkit.errors import Interrupted
from tests.unit.helpers import REGION

pytestmark = pytest.mark.packer

TEMPLATE = """
variable "endpoint" {
  type = string
}
variable "manifest" {
  type = string
}
variable "command" {
  type = string
}
source "amazon-ebs" "image" {
  region              = "us-west-2"
  custom_endpoint_ec2 = var.endpoint
  max_retries         = 1
  ami_name            = "annexkit-test"
  instance_type       = "t3.micro"
  source_ami          = "AMI"
  communicator        = "none"
  shutdown_behavior   = "terminate"
}
build {
  sources = ["source.amazon-ebs.image"]
  provisioner "shell-local" {
    inline = [var.command]
  }
  post-processor "manifest" {
    output      = var.manifest
    custom_data = { build = "b1" }
  }
}
"""


@dataclass
class Bench:
    """A template on disk, and the EC2 it bakes in."""

    ec2: Any
    folder: Path
    env: dict[str, str]
    endpoint: str

    def build(self, command: str, **options: Any) -> packer.BuildResult:
        values = self.folder / "run.pkrvars.hcl"
        values.write_text(
            f'endpoint = "{self.endpoint}"\nmanifest = "{self.manifest}"\n'
            f'command  = "{command}"\n'
        )
        found = packer.find_packer()
        packer.validate(found, self.folder, env=self.env)
        return packer.build(
            found,
            self.folder,
            manifest=self.manifest,
            log=self.folder / "out" / "packer.log",
            env=self.env,
            timeout=120,
            **options,
        )

    @property
    def manifest(self) -> Path:
        return self.folder / "manifest.json"

    def billable(self) -> list[str]:
        """What would cost money, or be in the way of the next bake."""
        running = [
            i["InstanceId"]
            for r in self.ec2.describe_instances()["Reservations"]
            for i in r["Instances"]
            if i["State"]["Name"] not in ("terminated", "shutting-down")
        ]
        groups = self.ec2.describe_security_groups()["SecurityGroups"]
        return [
            *running,
            *(k["KeyName"] for k in self.ec2.describe_key_pairs()["KeyPairs"]),
            *(g["GroupId"] for g in groups if g["GroupName"] != "default"),
        ]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    # Packer bakes only from an AMI with an EBS root, and moto registers none by API.
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "true")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        urllib.request.urlopen(f"{endpoint}/moto-api/reset", data=b"").close()
        ec2 = boto3.client("ec2", region_name=REGION, endpoint_url=endpoint)
        folder = tmp_path / "rendered"
        folder.mkdir()
        (folder / "t.pkr.hcl").write_text(TEMPLATE.replace("AMI", base_ami(ec2)))
        env = {**os.environ, "AWS_POLL_DELAY_SECONDS": "1"}
        yield Bench(ec2, folder, env, endpoint)
    finally:
        server.stop()


def base_ami(ec2: Any) -> str:
    images = ec2.describe_images(
        Filters=[
            {"Name": "root-device-type", "Values": ["ebs"]},
            {"Name": "architecture", "Values": ["x86_64"]},
            {"Name": "virtualization-type", "Values": ["hvm"]},
        ]
    )["Images"]
    return str(next(i["ImageId"] for i in images if i.get("Platform") != "windows"))


def test_a_build_gives_the_ami_and_its_steps(bench: Bench) -> None:
    events: list[Event] = []
    result = bench.build("echo hello", on_event=events.append)
    (image,) = bench.ec2.describe_images(
        Owners=["self"], Filters=[{"Name": "name", "Values": ["annexkit-test"]}]
    )["Images"]
    assert result.artifacts == {REGION: image["ImageId"]}
    assert result.name == "image"
    assert result.custom == {"build": "b1"}
    phases = [e.phase for e in events if isinstance(e, Step)]
    assert list(dict.fromkeys(phases)) == [
        Phase.PREPARE,
        Phase.LAUNCH,
        Phase.PROVISION,
        Phase.STOP,
        Phase.IMAGE,
        Phase.CLEAN,
        Phase.RECORD,
    ]
    assert GuestLine("hello") in [
        GuestLine(e.text) for e in events if isinstance(e, GuestLine)
    ]
    assert bench.billable() == []


def test_a_second_build_appends_and_the_new_ami_is_found(bench: Bench) -> None:
    first = bench.build("true")
    bench.ec2.deregister_image(ImageId=first.artifacts[REGION])
    second = bench.build("true")
    assert second.artifacts[REGION] != first.artifacts[REGION]
    assert second.run_uuid != first.run_uuid


def test_stopped_while_provisioning_it_takes_its_builder_away(bench: Bench) -> None:
    stop = threading.Event()
    seen: list[list[str]] = []

    def on_event(event: Event) -> None:
        if event.text == "begun":
            seen.append(bench.billable())
            stop.set()

    with pytest.raises(Interrupted):
        bench.build("echo begun; sleep 60", on_event=on_event, stop=stop)
    assert len(seen[0]) == 3, "an instance, a key pair and a group were there"
    assert bench.billable() == []


def test_a_duplicate_ami_name_is_an_error_in_packers_words(bench: Bench) -> None:
    bench.build("true")
    with pytest.raises(packer.PackerError, match="annexkit-test") as caught:
        bench.build("true")
    assert caught.value.where.endswith("packer.log")
    assert bench.billable() == []

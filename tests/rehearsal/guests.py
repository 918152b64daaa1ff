"""EC2 as the tests of the rehearsal use it, and machines to talk to."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import uuid4

import boto3
import paramiko
import pytest
from botocore.exceptions import ClientError

from annexkit.rehearsal import control
from annexkit.rehearsal.state import Rehearsal
from annexkit.verify.hostkeys import HostKey, parse_console
from annexkit.waiting import wait_for

USER = "admin"
MARK = "/run/since"  # in memory: gone when the machine restarted


@dataclass(frozen=True)
class Region:
    """EC2 in one region of a rehearsal."""

    rehearsal: Rehearsal
    name: str

    @cached_property
    def ec2(self) -> Any:
        session = boto3.Session(
            aws_access_key_id="test",
            aws_secret_access_key="test",
            region_name=self.name,
        )
        return session.client("ec2", endpoint_url=self.rehearsal.endpoint)

    @cached_property
    def key(self) -> tuple[str, paramiko.PKey]:
        name = f"key-{uuid4().hex[:8]}"
        made = self.ec2.create_key_pair(KeyName=name, KeyType="ed25519")
        material = io.StringIO(made["KeyMaterial"])
        return name, paramiko.Ed25519Key.from_private_key(material)

    def run(self, **arguments: Any) -> dict[str, Any]:
        """Launch one instance and return it as the answer describes it."""
        return dict(self.run_many(**arguments)[0])

    def running(self, **arguments: Any) -> str:
        """Launch one instance, wait until it runs, and return its id."""
        identity = str(self.run(**arguments)["InstanceId"])
        self.until(identity, "running")
        return identity

    def run_many(self, **arguments: Any) -> list[dict[str, Any]]:
        asked = {
            "ImageId": self.rehearsal.base.ami_id,
            "InstanceType": "t3.micro",
            "MinCount": 1,
            "MaxCount": 1,
            **arguments,
        }
        return list(self.ec2.run_instances(**asked)["Instances"])

    def describe(self, instance: str) -> dict[str, Any]:
        found = self.ec2.describe_instances(InstanceIds=[instance])
        return dict(found["Reservations"][0]["Instances"][0])

    def state(self, instance: str) -> str:
        return str(self.describe(instance)["State"]["Name"])

    def until(self, instance: str, state: str, timeout: float = 90) -> None:
        wait_for(
            lambda: self.state(instance) == state,
            what=f"{instance} to be {state}, is {self.state(instance)}",
            timeout=timeout,
            poll=0.1,
        )

    def image(self, ami: str) -> dict[str, Any]:
        return dict(self.ec2.describe_images(ImageIds=[ami])["Images"][0])

    def available(self, ami: str) -> str:
        """Wait until an image is available."""

        def done() -> bool:
            image = self.image(ami)
            assert image["State"] != "failed", image["StateReason"]
            return bool(image["State"] == "available")

        wait_for(
            done,
            what=f"{ami}",
            timeout=60,
            poll=0.1,
        )
        return ami

    def create_image(self, instance: str, **more: Any) -> str:
        name = f"image-{uuid4().hex[:8]}"
        arguments = {"InstanceId": instance, "Name": name, **more}
        made = self.ec2.create_image(**arguments)["ImageId"]
        return self.available(made)

    def terminate_all(self) -> None:
        machines = control.ask(self.rehearsal, "status")["machines"]
        here = [m["instance"] for m in machines if m["region"] == self.name]
        if here:
            self.ec2.terminate_instances(InstanceIds=here)
        for instance in here:
            self.until(instance, "terminated")


@dataclass(frozen=True)
class Guest:
    """A running machine, and a shell on it as the default user."""

    region: Region
    id: str
    address: str

    def ssh(self) -> paramiko.SSHClient:
        client = paramiko.SSHClient()
        for known in self.console_keys():
            client.get_host_keys().add(self.address, known.type, known.pkey())
        key = self.region.key[1]
        client.connect(
            self.address,
            username=USER,
            pkey=key,
            allow_agent=False,
            look_for_keys=False,
            timeout=20,
        )
        return client

    def console_keys(self) -> list[HostKey]:
        """Wait until the console shows the host keys, and return them."""

        def shown() -> list[HostKey]:
            said = self.region.ec2.get_console_output(InstanceId=self.id, Latest=True)
            return parse_console(said.get("Output", ""))

        return wait_for(shown, what=f"{self.id}'s host keys", timeout=60, poll=0.1)

    def run(self, command: str) -> tuple[int, str]:
        """Run a command and return its exit code and both outputs."""
        with self.ssh() as client:
            _, stdout, _ = client.exec_command(f"{{ {command}\n}} 2>&1", timeout=60)
            text = stdout.read().decode()
            return stdout.channel.recv_exit_status(), text.strip()

    def output(self, command: str) -> str:
        """Return what a command prints; it must not fail."""
        code, text = self.run(command)
        assert code == 0, f"{command}: {code}: {text}"
        return text

    def metadata(self, path: str) -> str:
        """Ask the metadata service with a token, as a program on the machine does."""
        base = "http://169.254.169.254/latest"
        return self.output(
            f"token=$(curl -sSf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "
            f"{base}/api/token) && "
            f'curl -sSf -H "X-aws-ec2-metadata-token: $token" {base}/{path}'
        )

    def wait_restarted(self) -> None:
        """Wait until it answers again after a restart; it is running all the while."""

        def restarted() -> bool:
            assert self.region.state(self.id) == "running"
            try:
                return self.run(f"ls {MARK}")[0] != 0
            except (OSError, EOFError, paramiko.SSHException):
                return False

        eventually(restarted, f"{self.id} to be up again")

    def host_key(self) -> str:
        with self.ssh() as client:
            transport = client.get_transport()
            assert transport is not None
            key = transport.get_remote_server_key()
            return f"{key.get_name()} {key.get_base64()}"


def boot(region: Region, **arguments: Any) -> Guest:
    """Launch an instance, and wait until its first boot is over."""
    launched = region.run(KeyName=region.key[0], **arguments)
    region.until(launched["InstanceId"], "running")
    guest = Guest(region, launched["InstanceId"], launched["PrivateIpAddress"])
    guest.output("cloud-init status --wait")
    return guest


def eventually(condition: Callable[[], Any], what: str, timeout: float = 30) -> None:
    wait_for(condition, what=what, timeout=timeout, poll=0.1)


def client(rehearsal: Rehearsal, service: str) -> Any:
    session: Any = boto3.Session("test", "test", region_name="us-west-2")
    return session.client(service, endpoint_url=rehearsal.endpoint)


def a_role(rehearsal: Rehearsal, service: str, action: str, resource: str) -> str:
    """Make a role that *service* may assume, with one action; return its name."""
    iam, name = client(rehearsal, "iam"), f"role-{uuid4().hex[:8]}"
    trust = {"Effect": "Allow", "Principal": {"Service": service}}
    own = {"Effect": "Allow", "Action": action, "Resource": resource}
    for document in (trust | {"Action": "sts:AssumeRole"}, own):
        text = json.dumps({"Version": "2012-10-17", "Statement": [document]})
        if document is own:
            iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=text)
        else:
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=text)
    return name


def a_profile(rehearsal: Rehearsal, role: str = "") -> dict[str, str]:
    """Make an instance profile, with a role of the same name when none is given."""
    iam = client(rehearsal, "iam")
    name = f"node-{uuid4().hex[:8]}"
    if not role:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
    profile = iam.create_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=role or name)
    return {"name": name, "arn": str(profile["Arn"])}


def code_of(work: Any, **arguments: Any) -> str:
    """Return the error code that a call ends with."""
    with pytest.raises(ClientError) as caught:
        work(**arguments)
    return str(caught.value.response["Error"]["Code"])

"""A machine is to its guest what an EC2 instance is."""

from __future__ import annotations

import gzip
import json
import socket
from pathlib import Path

import boto3
import pytest

from annexkit.rehearsal.state import Rehearsal
from tests.rehearsal.guests import Guest, Region, a_profile, boot, eventually

pytestmark = pytest.mark.machines

USER_DATA = """\
#cloud-config
write_files:
- path: /etc/annexkit/hello
  permissions: "0600"
  content: hello
runcmd:
- [touch, /var/tmp/ran]
"""


@pytest.fixture
def guest(region: Region) -> Guest:
    return boot(
        region,
        UserData=USER_DATA,
        MetadataOptions={"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
        TagSpecifications=[
            {
                "ResourceType": "instance",
                "Tags": [{"Key": "annexkit:owner", "Value": "somebody"}],
            }
        ],
    )


def test_cloud_init_takes_it_for_an_instance_and_does_as_it_is_told(
    guest: Guest,
) -> None:
    status = json.loads(guest.output("cloud-init status --format json"))
    assert (status["status"], status["errors"]) == ("done", [])
    assert status["recoverable_errors"] == {}
    assert status["detail"] == "DataSourceEc2Local"
    assert guest.output("cloud-id") == "aws"
    assert guest.output("sudo cat /etc/annexkit/hello") == "hello"
    assert guest.output("ls /var/tmp/ran")
    eventually(
        lambda: guest.run("systemctl is-system-running") == (0, "running"),
        "every unit to have started",
    )
    assert guest.output("hostname -f") == (
        f"ip-{guest.address.replace('.', '-')}.us-west-2.compute.internal"
    )
    check_metadata(guest)
    check_console(guest)


def check_metadata(guest: Guest) -> None:
    base = "http://169.254.169.254/latest"
    code = f"curl -s -o /dev/null -w '%{{http_code}}' {base}/meta-data/"
    assert guest.output(code) == "401"
    assert guest.metadata("meta-data/instance-id") == guest.id
    assert guest.metadata("meta-data/local-ipv4") == guest.address
    assert guest.metadata("meta-data/tags/instance/annexkit:owner") == "somebody"
    assert guest.metadata("user-data") == USER_DATA.strip()
    interface = (
        f"cat /sys/class/net/eth0/address && ip -4 address | grep {guest.address}"
    )
    assert guest.output(interface).splitlines()[0] == guest.metadata("meta-data/mac")
    ec2 = guest.region.ec2
    ec2.modify_instance_metadata_options(
        InstanceId=guest.id, HttpTokens="optional", HttpEndpoint="enabled"
    )
    eventually(lambda: guest.output(code) == "200", "tokens to be optional")


def check_console(guest: Guest) -> None:
    console = guest.region.ec2.get_console_output(InstanceId=guest.id, Latest=True)
    _, _, rest = console["Output"].partition("-----BEGIN SSH HOST KEY KEYS-----")
    block, _, _ = rest.partition("-----END SSH HOST KEY KEYS-----")
    assert guest.host_key() in [" ".join(k.split()[:2]) for k in block.splitlines()]


def test_a_guests_root_cannot_change_this_hosts_kernel(guest: Guest) -> None:
    settings = {
        name: Path("/proc/sys", name).read_text()
        for name in ("vm/dirty_ratio", "kernel/pid_max", "fs/pipe-max-size")
    }
    for name, value in settings.items():
        changed = int(value) + 1
        assert guest.run(f"echo {changed} | sudo tee /proc/sys/{name}")[0] != 0
        assert guest.run(f"sudo sysctl -w {name.replace('/', '.')}={changed}")[0] != 0
    assert guest.run("sudo mount -o remount,rw /proc/sys")[0] != 0
    assert guest.run("sudo mount -t proc proc /mnt")[0] != 0
    assert guest.run("echo h | sudo tee /proc/sysrq-trigger")[0] != 0
    assert {n: Path("/proc/sys", n).read_text() for n in settings} == settings


def test_the_cloud_is_out_of_the_guests_reach_and_the_hosts_own_is_untouched(
    guest: Guest, rehearsal: Rehearsal
) -> None:
    gateway = guest.output("ip route show default").split()[2]
    reach = f"curl -s -m 3 -o /dev/null http://{gateway}:{rehearsal.port}/"
    assert guest.run(reach)[0] != 0
    with socket.socket() as ours:
        ours.settimeout(0.5)
        refused = ours.connect_ex(("169.254.169.254", 80)) != 0
        answered = not refused and b"i-" in ask(ours)
    assert refused or not answered


def ask(connection: socket.socket) -> bytes:
    request = b"GET /latest/meta-data/instance-id HTTP/1.0\r\n\r\n"
    connection.sendall(request)
    return connection.recv(4096)


def test_a_guest_may_replace_what_stands_for_its_firmware(guest: Guest) -> None:
    # as a package manager does: a new file beside the old one, renamed over it
    for program in ("/usr/bin/systemd-detect-virt", "/usr/sbin/dmidecode"):
        renamed = (
            f"sudo cp -p {program} {program}.new && sudo mv {program}.new {program}"
        )
        guest.output(renamed)
    assert guest.output("systemd-detect-virt") == "amazon"
    assert guest.output("sudo dmidecode --string system-uuid").startswith("ec2")
    assert guest.run("systemd-detect-virt --container")[0] == 1


def test_a_role_gives_credentials_that_the_api_knows(region: Region) -> None:
    profile = a_profile(region.rehearsal)
    guest = boot(region, IamInstanceProfile={"Arn": profile["arn"]})
    iam = "meta-data/iam"
    assert (
        json.loads(guest.metadata(f"{iam}/info"))["InstanceProfileArn"]
        == (profile["arn"])
    )
    name = guest.metadata(f"{iam}/security-credentials/")
    assert name == profile["name"]
    given = json.loads(guest.metadata(f"{iam}/security-credentials/{name}"))
    session = boto3.Session(
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["Token"],
        region_name="us-west-2",
    )
    sts = session.client("sts", endpoint_url=region.rehearsal.endpoint)
    who = sts.get_caller_identity()["Arn"]
    assert who.endswith(f"assumed-role/{name}/{guest.id}")


def test_user_data_may_be_compressed(region: Region) -> None:
    guest = boot(region, UserData=gzip.compress(USER_DATA.encode()))
    assert guest.output("sudo cat /etc/annexkit/hello") == "hello"

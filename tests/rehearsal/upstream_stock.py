"""An AMI with upstream's own boot package, on the base that our images start from."""

from __future__ import annotations

from annexkit.process import run
from annexkit.rehearsal import control
from annexkit.rehearsal.state import Rehearsal
from tests.rehearsal.guests import Region

# What its script calls and its package does not depend on: the AWS CLI, curl, iptables.
INSTALL = r"""
set -eu
export DEBIAN_FRONTEND=noninteractive
cloud-init status --wait >/dev/null || true
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
apt-get --yes update
apt-get --yes --no-install-recommends -o Dpkg::Options::=--force-unsafe-io install \
  condor condor-annex-ec2 awscli curl iptables
rm -f /usr/sbin/policy-rc.d
apt-get clean
cloud-init clean --logs
: >/etc/machine-id
"""


def container(rehearsal: Rehearsal, instance: str) -> str:
    """Return podman's name of an instance's machine."""
    machines = control.ask(rehearsal, "status")["machines"]
    return next(str(m["container"]) for m in machines if m["instance"] == instance)


def inside(
    rehearsal: Rehearsal, instance: str, script: str, seconds: float = 60
) -> str:
    """Run a shell script as root in an instance, past SSH, and return what it says."""
    name = container(rehearsal, instance)
    shell = ("podman", "exec", "--interactive", name, "sh")
    return run(*shell, stdin=script, timeout=seconds).stdout


def stock_image(rehearsal: Rehearsal, region: str) -> str:
    """Make the AMI, and return it; it lets instances ask without tokens (IMDSv1)."""
    there = Region(rehearsal, region)
    builder = there.running()
    inside(rehearsal, builder, INSTALL, seconds=600)
    ami = there.create_image(builder)
    there.ec2.terminate_instances(InstanceIds=[builder])
    return ami


def require_tokens(rehearsal: Rehearsal, region: str, ami: str) -> None:
    """Let instances of an AMI ask with tokens only, as every AMI of ours does."""
    wanted = {"Value": "v2.0"}
    ec2 = Region(rehearsal, region).ec2
    ec2.modify_image_attribute(ImageId=ami, ImdsSupport=wanted)

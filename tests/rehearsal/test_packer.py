"""Debian's Packer bakes against the rehearsal as it would against AWS."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from annexkit.process import run
from annexkit.rehearsal import control
from annexkit.rehearsal.state import Rehearsal
from tests.rehearsal.guests import Region, boot

pytestmark = [pytest.mark.machines, pytest.mark.packer]

TEMPLATE = """\
variable "endpoint" { type = string }
variable "base" { type = string }
variable "name" { type = string }
variable "manifest" { type = string }

source "amazon-ebs" "debian" {
  region                                = "us-west-2"
  custom_endpoint_ec2                   = var.endpoint
  max_retries                           = 1
  ami_name                              = var.name
  ami_description                       = "a rehearsed image"
  instance_type                         = "t3.micro"
  source_ami                            = var.base
  ssh_interface                         = "private_ip"
  ssh_username                          = "admin"
  ssh_timeout                           = "1m"
  ssh_clear_authorized_keys             = true
  shutdown_behavior                     = "terminate"
  temporary_key_pair_type               = "ed25519"
  temporary_security_group_source_cidrs = ["10.0.0.0/8"]
  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = 9
    volume_type           = "gp3"
    iops                  = 3000
    throughput            = 125
    encrypted             = true
    delete_on_termination = true
  }
  tags          = { of = "image", base = "{{ .SourceAMIName }}" }
  snapshot_tags = { of = "snapshot" }
  run_tags      = { of = "builder" }
}

build {
  sources = ["source.amazon-ebs.debian"]
  provisioner "shell" {
    inline = ["cloud-init status --wait", "echo ${var.name} | sudo tee -a /baked"]
  }
  post-processor "manifest" { output = var.manifest }
}
"""


def bake(rehearsal: Rehearsal, folder: Path, base: str, name: str) -> str:
    """Run a real Packer and return the AMI that its manifest names."""
    template, manifest = folder / "t.pkr.hcl", folder / f"{name}.json"
    template.write_text(TEMPLATE)
    variables = {
        "endpoint": rehearsal.endpoint,
        "base": base,
        "name": name,
        "manifest": str(manifest),
    }
    options = [f"-var={key}={value}" for key, value in variables.items()]
    quiet = {"CHECKPOINT_DISABLE": "1", "PACKER_NO_COLOR": "1"}
    env = {**os.environ, **control.environment(rehearsal), **quiet}
    run("packer", "build", *options, template, env=env, timeout=180)
    built = json.loads(manifest.read_text())["builds"][-1]["artifact_id"]
    return str(built).partition(":")[2]


def test_packer_bakes_and_bakes_again_from_what_it_baked(
    rehearsal: Rehearsal, region: Region, tmp_path: Path
) -> None:
    first = bake(rehearsal, tmp_path, rehearsal.base.ami_id, "first")
    second = bake(rehearsal, tmp_path, first, "second")
    image = region.image(second)
    tags = {t["Key"]: t["Value"] for t in image["Tags"]}
    assert tags == {"of": "image", "base": "first"}
    assert image["Description"] == "a rehearsed image"
    assert image["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
    left = control.ask(rehearsal, "status")["machines"]
    assert [m for m in left if m["state"] != "shutting-down"] == []
    assert region.ec2.describe_volumes()["Volumes"] == []
    keys = region.ec2.describe_key_pairs()["KeyPairs"]
    assert not [k for k in keys if k["KeyName"].startswith("packer")]
    groups = region.ec2.describe_security_groups()["SecurityGroups"]
    assert {g["GroupName"] for g in groups} == {"default"}
    guest = boot(region, ImageId=second)
    assert guest.output("cat /baked").split() == ["first", "second"]
    assert len(guest.output("cat ~/.ssh/authorized_keys").splitlines()) == 1
    for ami in (first, second):
        region.ec2.deregister_image(ImageId=ami, DeleteAssociatedSnapshots=True)

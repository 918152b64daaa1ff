"""AMIs are named, tagged, copied and removed as AWS does it."""

from __future__ import annotations

from uuid import uuid4

import pytest
from botocore.exceptions import WaiterError

from annexkit.rehearsal import control
from annexkit.rehearsal.podman import Podman
from annexkit.rehearsal.state import Rehearsal
from tests.rehearsal.guests import Region, code_of

pytestmark = pytest.mark.machines


def test_an_image_has_a_name_tags_a_disk_and_is_pending_first(
    powerless: Region, rehearsal: Rehearsal
) -> None:
    ec2 = powerless.ec2
    disk = {"VolumeSize": 9, "VolumeType": "gp3", "Encrypted": True}
    root = [{"DeviceName": "/dev/xvda", "Ebs": disk}]
    identity = powerless.running(BlockDeviceMappings=root)
    slow = {"never_boots": True, "image_pending_seconds": 600}
    control.ask(rehearsal, "knobs", "POST", slow)
    name = uuid4().hex
    tags = [
        {"ResourceType": kind, "Tags": [{"Key": "of", "Value": kind}]}
        for kind in ("image", "snapshot")
    ]
    ami = ec2.create_image(InstanceId=identity, Name=name, TagSpecifications=tags)[
        "ImageId"
    ]
    assert powerless.image(ami)["State"] == "pending"
    assert code_of(powerless.run, ImageId=ami) == "InvalidAMIID.Unavailable"
    twice = {"InstanceId": identity, "Name": name}
    assert code_of(ec2.create_image, **twice) == "InvalidAMIName.Duplicate"
    control.ask(rehearsal, "knobs", "POST", {"never_boots": True})
    powerless.available(ami)
    check_image(powerless, ami)
    ec2.deregister_image(ImageId=ami, DeleteAssociatedSnapshots=True)
    check_gone(powerless, ami)


def check_image(region: Region, ami: str) -> None:
    image = region.image(ami)
    mapping = image["BlockDeviceMappings"][0]["Ebs"]
    assert (image["RootDeviceType"], image["RootDeviceName"]) == ("ebs", "/dev/xvda")
    assert (mapping["VolumeSize"], mapping["Encrypted"]) == (9, True)
    assert image["Tags"] == [{"Key": "of", "Value": "image"}]
    (snapshot,) = region.ec2.describe_snapshots(SnapshotIds=[mapping["SnapshotId"]])[
        "Snapshots"
    ]
    assert (snapshot["VolumeSize"], snapshot["Encrypted"]) == (9, True)
    assert snapshot["Tags"] == [{"Key": "of", "Value": "snapshot"}]
    owned = [{"Name": "tag:of", "Values": ["im*"]}]
    found = region.ec2.describe_images(Owners=["self"], Filters=owned)["Images"]
    assert [i["ImageId"] for i in found] == [ami]


def check_gone(region: Region, ami: str) -> None:
    describe = region.ec2.describe_images
    assert code_of(describe, ImageIds=[ami]) == "InvalidAMIID.NotFound"
    assert region.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"] == []
    podman = Podman(region.rehearsal.id)
    region.terminate_all()
    assert not podman.has_image(
        f"localhost/annexkit-{podman.rehearsal}/us-west-2:{ami}"
    )


def test_imdsv2_on_an_image_is_read_back_and_is_the_launches_default(
    powerless: Region,
) -> None:
    ec2 = powerless.ec2
    ami = powerless.create_image(powerless.running())
    assert "ImdsSupport" not in powerless.image(ami)
    ec2.modify_image_attribute(ImageId=ami, ImdsSupport={"Value": "v2.0"})
    assert powerless.image(ami)["ImdsSupport"] == "v2.0"
    read = ec2.describe_image_attribute(ImageId=ami, Attribute="imdsSupport")
    assert read["ImdsSupport"]["Value"] == "v2.0"
    wrong = {"ImageId": ami, "ImdsSupport": {"Value": "v1.0"}}
    assert code_of(ec2.modify_image_attribute, **wrong) == "InvalidParameterValue"
    tokens = powerless.run(ImageId=ami)["MetadataOptions"]["HttpTokens"]
    assert tokens == "required"
    ec2.modify_image_attribute(ImageId=ami, Description={"Value": "what it is"})
    assert powerless.image(ami)["Description"] == "what it is"


def test_copying_an_image_is_idempotent_by_its_token(
    powerless: Region, rehearsal: Rehearsal
) -> None:
    there = Region(rehearsal, "eu-north-1")
    ami = powerless.create_image(powerless.running())
    powerless.ec2.create_tags(Resources=[ami], Tags=[{"Key": "a", "Value": "b"}])
    asked = {
        "SourceImageId": ami,
        "SourceRegion": "us-west-2",
        "Name": "a copy",
        "ClientToken": uuid4().hex,
        "CopyImageTags": True,
    }
    copied = there.ec2.copy_image(**asked)["ImageId"]
    assert there.ec2.copy_image(**asked)["ImageId"] == copied
    changed = {**asked, "Name": "another"}
    assert code_of(there.ec2.copy_image, **changed) == "IdempotentParameterMismatch"
    twice = {**asked, "ClientToken": uuid4().hex}
    assert code_of(there.ec2.copy_image, **twice) == "InvalidAMIName.Duplicate"
    image = there.image(there.available(copied))
    assert (image["SourceImageId"], image["SourceImageRegion"]) == (ami, "us-west-2")
    assert image["Tags"] == [{"Key": "a", "Value": "b"}]
    gone = {**asked, "SourceImageId": "ami-0000000000000dead", "ClientToken": "x"}
    assert code_of(there.ec2.copy_image, **gone) == "InvalidAMIID.NotFound"
    there.ec2.deregister_image(ImageId=copied)


def test_an_instance_that_does_not_run_yet_makes_no_image(
    powerless: Region, rehearsal: Rehearsal
) -> None:
    slow = {"never_boots": True, "pending_seconds": 60}
    control.ask(rehearsal, "knobs", "POST", slow)
    asked = {"InstanceId": powerless.run()["InstanceId"], "Name": "too early"}
    assert code_of(powerless.ec2.create_image, **asked) == "IncorrectInstanceState"


def test_waiters_end_when_an_image_failed(powerless: Region) -> None:
    identity = powerless.running()
    # Stopped first: nobody follows it then, who might see it vanish before we ask.
    powerless.ec2.stop_instances(InstanceIds=[identity])
    powerless.until(identity, "stopped")
    podman = Podman(powerless.rehearsal.id)
    name = f"{powerless.rehearsal.network}-{identity}"
    podman.remove(name)
    ami = powerless.ec2.create_image(InstanceId=identity, Name=uuid4().hex)["ImageId"]
    waiter = powerless.ec2.get_waiter("image_available")
    waiter.config.delay = 0.1
    with pytest.raises(WaiterError):
        waiter.wait(ImageIds=[ami])
    assert powerless.image(ami)["StateReason"]["Message"]

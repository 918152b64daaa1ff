"""Machines come, stop, restart, are captured and go as instances do."""

from __future__ import annotations

import pytest

from annexkit.rehearsal import control
from annexkit.rehearsal.podman import Podman
from annexkit.rehearsal.state import Rehearsal
from tests.rehearsal.guests import MARK, Guest, Region, boot

pytestmark = pytest.mark.machines

IDENTITY = "cat /etc/machine-id"


def test_powering_off_inside_ends_it_when_that_is_its_behaviour(
    region: Region,
) -> None:
    guest = boot(region, InstanceInitiatedShutdownBehavior="terminate")
    volume = region.describe(guest.id)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    guest.run("sudo systemctl poweroff")
    region.until(guest.id, "terminated")
    found = region.describe(guest.id)
    assert found["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    assert "PrivateIpAddress" not in found
    volumes = region.ec2.describe_volumes()["Volumes"]
    assert volume not in [v["VolumeId"] for v in volumes]
    output = region.ec2.get_console_output(InstanceId=guest.id)["Output"]
    assert "SSH HOST KEY" in output, "the console outlives the machine"


def test_powering_off_inside_stops_it_by_default_and_it_starts_again(
    guest: Guest,
) -> None:
    region = guest.region
    before = guest.output(IDENTITY)
    guest.run("touch kept; sync; sudo systemctl poweroff")
    region.until(guest.id, "stopped")
    region.ec2.start_instances(InstanceIds=[guest.id])
    region.until(guest.id, "running")
    assert guest.output(f"ls kept && {IDENTITY}").split() == ["kept", before]
    assert guest.metadata("meta-data/instance-id") == guest.id


@pytest.mark.parametrize("inside", [True, False])
def test_a_reboot_keeps_the_machine_and_its_state(guest: Guest, inside: bool) -> None:
    before = guest.output(f"sudo touch {MARK} && {IDENTITY}")
    if inside:
        guest.run("sudo systemctl reboot")
    else:
        guest.region.ec2.reboot_instances(InstanceIds=[guest.id])

    guest.wait_restarted()
    assert guest.output(IDENTITY) == before


def test_an_image_holds_what_was_on_the_machine_and_boots_as_another(
    guest: Guest,
) -> None:
    region = guest.region
    guest.output(
        "sudo cp /etc/machine-id /var/tmp/parent && sudo cloud-init clean --machine-id "
        "&& sudo rm /etc/ssh/ssh_host_*"
    )
    host_key = guest.host_key()
    region.ec2.stop_instances(InstanceIds=[guest.id])
    region.until(guest.id, "stopped")
    ami = region.create_image(guest.id)
    child = boot(region, ImageId=ami)
    identity = child.output(IDENTITY)
    assert identity != child.output("cat /var/tmp/parent")
    assert len(identity) == 32
    assert child.host_key() != host_key


def test_an_image_of_a_running_machine_restarts_it_unless_told_not_to(
    guest: Guest,
) -> None:
    region = guest.region
    guest.output(f"sudo touch {MARK} && touch kept && sync")
    region.create_image(guest.id, NoReboot=True)
    assert guest.run(f"ls {MARK}")[0] == 0
    ami = region.create_image(guest.id)
    guest.wait_restarted()
    assert boot(region, ImageId=ami).output("ls kept") == "kept"


def test_a_copy_in_another_region_boots_when_the_first_is_gone(
    guest: Guest, rehearsal: Rehearsal
) -> None:
    here, there = guest.region, Region(rehearsal, "eu-west-1")
    guest.output("touch kept && sync")
    ami = here.create_image(guest.id)
    copied = there.ec2.copy_image(
        SourceImageId=ami, SourceRegion=here.name, Name="copied"
    )["ImageId"]
    there.available(copied)
    here.ec2.deregister_image(ImageId=ami)
    assert boot(there, ImageId=copied).output("ls kept") == "kept"
    with pytest.raises(
        here.ec2.exceptions.ClientError, match=r"InvalidAMIID\.NotFound"
    ):
        here.run(ImageId=copied)
    there.terminate_all()
    there.ec2.deregister_image(ImageId=copied, DeleteAssociatedSnapshots=True)


def test_terminating_in_the_middle_of_a_boot_leaves_nothing(
    region: Region, rehearsal: Rehearsal
) -> None:
    launched = region.run()
    region.ec2.terminate_instances(InstanceIds=[launched["InstanceId"]])
    region.until(launched["InstanceId"], "terminated")
    names = Podman(rehearsal.id).call("ps", "--all", "--format", "{{.Names}}")
    assert launched["InstanceId"] not in names


def test_a_machine_may_be_slow_to_run_or_never_boot(
    region: Region, rehearsal: Rehearsal
) -> None:
    knobs = {"never_boots": True, "pending_seconds": 3}
    control.ask(rehearsal, "knobs", "POST", knobs)
    launched = region.run()
    identity = launched["InstanceId"]
    assert launched["State"]["Name"] == region.state(identity) == "pending"
    control.ask(rehearsal, "knobs", "POST", {"never_boots": True})
    region.until(identity, "running")
    assert not region.ec2.get_console_output(InstanceId=identity).get("Output")

"""What can be wrong with a launch before it begins, and one text of each message."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from annexkit.launch.capacity import CapacityTable
from annexkit.launch.target import Target
from annexkit.registry import State
from tests.faults.command import REGISTRY, ec2
from tests.faults.launch_scene import TYPE, LaunchScene
from tests.faults.situation import Situations
from tests.unit.helpers import ACCOUNT, AMI, REGION

PLAN = ("launch", "--dry-run")
ALL = Situations(typed=PLAN)


def flag(name: str, value: str, says: str) -> None:
    """A flag of ``invoke launch`` has a value that will not do."""
    typed = (*PLAN, f"--{name}", value)
    ALL.add(f"launch --{name} {value}", says, lambda _: None, *typed)


def setting(name: str, value: str, says: str, *typed: str) -> None:
    """A setting has a value that nothing can be launched with."""
    deed = lambda scene: scene.setting(name, value)  # noqa: E731
    ALL.add(f"{name}={value}", says, deed, *typed)


# Flags
flag("count", "0", "--count: '0' should be greater than or equal to 1")
flag("count", "10001", "'10001' should be less than or equal to 10000")
flag("count", "many", "'many' should be a valid integer")
flag("annex-name", "../grid", "'../grid' is not 1 to 27 of")
flag("lease", "", "--lease: '' is not a duration")
flag("channel", "stable", "'stable' should be 'current'")
flag("instance-type", ",", "no instance type is named")
flag("instance-type", "m7i.larg", "'m7i.larg' is no instance type of us-west-2")
flag("instance-type", "m7g.large", "m7g.large runs arm64, the AMI is x86_64")
flag("instance-type", "t2.micro", "t2.micro is no Nitro type")
flag("market", "free", "'free' should be 'on-demand', 'spot' or")
flag("lease", "later", "'later' is not a duration")
flag("lease", "5m", "the lease of 5m is over before a node has to be in the pool")
flag("idle", "0", "with an idle limit of 0")
flag("owner", "a b", "--owner: 'a b' is not a user's name")
flag("max-hourly-cost", "cheap", "'cheap' should be a valid number")
flag("max-hourly-cost", "0.05", "an hour is below one node")
flag("region", "us-west-9", "unknown region 'us-west-9'")
flag("region", "eu-west-1", "(x86_64) has no current AMI; it has one in us-west-2")
flag("image", "debain13", "there is no image 'debain13'")

ALL.add("too dear", f"4 of {TYPE} cost $0.4000 an hour",
        lambda _: None, *PLAN, "--count", "4", "--max-hourly-cost", "0.2")  # fmt: skip
ALL.add("no previous build", "(x86_64) has no previous AMI", lambda _: None,
        *PLAN, "--channel", "previous")  # fmt: skip
ALL.add("not sold on spot", "hpc7a.12xlarge is not sold on the spot market",
        lambda _: None, *PLAN, "--market", "spot", "--instance-type",
        "hpc7a.12xlarge")  # fmt: skip


# Settings
setting("BAKE_REGIONS", "", "annexkit.bake.regions: no region is named")
setting("LAUNCH_HOURLY_PRICE", "dear", "'dear' is not prices")
setting("LAUNCH_USERS", "a b,bob", "launch.users.0: 'a b' is not a user's name")
setting("LAUNCH_PARALLEL", "0", "annexkit.launch.parallel: '0' should be greater")
setting("LAUNCH_SSH_CIDRS", "home", "launch.ssh_cidrs: 'home' is no network")
setting("POOL_METHOD", "kerberos", "'kerberos' should be 'idtokens'")
setting("POOL_COLLECTOR", "", "annexkit.pool.collector: no pool is named")
setting("POOL_COLLECTOR", "cm one", "'cm one' names more than one")
setting("POOL_COLLECTOR", "cm:99999", "'cm:99999' is no address")
setting("POOL_COLLECTOR", "127.0.0.1", "nodes cannot reach '127.0.0.1'")
setting("POOL_TRUST_DOMAIN", "a b", "trust_domain: 'a b' is no domain")
setting("POOL_UID_DOMAIN", "*", "uid_domain: '*' is no domain")
setting("POOL_IDENTITY", "me@here", "'me@here' is no name for annexes")
setting("POOL_IDENTITY", "condor", "'condor' may be the pool's administrator")
setting("POOL_UPDATE_INTERVAL", "0", "update_interval: must be a second or more")


@ALL.when("it follows from the collector, and 192.0.2.1 is no host name")
def collector_without_a_name(scene: LaunchScene) -> None:
    scene.setting("POOL_COLLECTOR", "192.0.2.1")
    scene.setting("POOL_TRUST_DOMAIN", "example.org")


@ALL.when("pool.cidrs: 'pool' is no network")
def pool_from_nowhere(scene: LaunchScene) -> None:
    scene.setting("POOL_CCB", "0")
    scene.setting("POOL_CIDRS", "pool")


@ALL.when(f"there is a ceiling, and the price of {TYPE} (on-demand) is not known")
def ceiling_without_a_price(scene: LaunchScene) -> None:
    scene.setting("LAUNCH_HOURLY_PRICE", "")
    scene.setting("LAUNCH_MAX_HOURLY_COST", "1")


# The registry and its AMI
@ALL.when("the registry has no AMI of image 'debian13'; it knows: none")
def empty_registry(scene: LaunchScene) -> None:
    scene.claim(ACCOUNT, "aws")


@ALL.when("the registry belongs to account 222222222222", code=1)
def registry_of_another_account(scene: LaunchScene) -> None:
    scene.edit_registry(account="2" * 12)


@ALL.when("which is retired")
def retired_build(scene: LaunchScene) -> None:
    scene.replace(REGISTRY, '"state": "ready"', '"state": "retired"')


@ALL.when(f"{AMI} of the registry does not exist")
def ami_that_is_gone(_: LaunchScene) -> None:
    del ec2().amis[AMI]


@ALL.when(f"{AMI} is failed, not available")
def ami_that_failed(_: LaunchScene) -> None:
    ec2().amis[AMI].state = "failed"


@ALL.when("HTCondor 25.14.1 of the image is newer than the pool's")
def older_pool(scene: LaunchScene) -> None:
    scene.stock(State.READY, "25.14.1")
    scene.pool_says("23.9.6")


# The network
@ALL.when("the account has no default VPC")
def no_default_vpc(_: LaunchScene) -> None:
    for subnet in subnets():
        subnet.default_for_az = "false"
    for vpc in ec2().vpcs.values():
        vpc.is_default = "false"


@ALL.when("the default VPC has no default subnet")
def no_default_subnet(_: LaunchScene) -> None:
    for subnet in subnets():
        subnet.default_for_az = "false"


@ALL.when("no subnet has a free address")
def no_free_address(_: LaunchScene) -> None:
    for subnet in subnets():
        subnet._available_ip_addresses = 0


@ALL.when("the subnets are of several VPCs")
def subnets_of_two_vpcs(scene: LaunchScene) -> None:
    vpc = scene.ask("create_vpc", CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    made = scene.ask("create_subnet", VpcId=vpc, CidrBlock="10.9.0.0/24")
    both = (subnets()[0].id, made["Subnet"]["SubnetId"])
    scene.setting("LAUNCH_SUBNETS", ",".join(both))


@ALL.when(f"{TYPE} is not offered in us-west-2-lax-1a")
def type_of_other_zones(scene: LaunchScene) -> None:
    zone = subnets()[0]._availability_zone
    scene.patch.setattr(zone, "name", "us-west-2-lax-1a")  # all of moto's share it
    scene.setting("LAUNCH_SUBNETS", subnets()[0].id)


setting("LAUNCH_SUBNETS", "subnet-0123", "there is no subnet subnet-0123")


@ALL.when("AWS had no room for any of these lately (InsufficientInstanceCapacity)")
def no_room_lately(scene: LaunchScene) -> None:
    whose = hashlib.sha256(f"{ACCOUNT} aws".encode()).hexdigest()[:12]
    now = 2_000_000_000.0
    path = scene.root / "state" / f"capacity-{whose}.json"
    table = CapacityTable(path, 600, lambda: now)
    target = Target("on-demand", TYPE, "us-west-2a", "subnet-1")
    table.close_family(REGION, target, "InsufficientInstanceCapacity")
    # As if it had been written just now: a table that lies is not believed.
    said = json.loads(path.read_text())
    for closed in said["closed"].values():
        closed["until"] = time.time() + 500
    path.write_text(json.dumps(said))


@ALL.when("the security group annexkit-annex is not annexkit's")
def group_of_somebody_else(scene: LaunchScene) -> None:
    vpc = next(iter(ec2().vpcs))
    scene.ask(
        "create_security_group", GroupName="annexkit-annex", Description="x", VpcId=vpc
    )


@ALL.when("the role annexkit-node is not annexkit's")
def role_of_somebody_else(scene: LaunchScene) -> None:
    scene.ask(
        "create_role", "iam", RoleName="annexkit-node", AssumeRolePolicyDocument="{}"
    )


@ALL.when("the instance profile annexkit-node is not annexkit's")
def profile_of_somebody_else(scene: LaunchScene) -> None:
    scene.ask("create_instance_profile", "iam", InstanceProfileName="annexkit-node")


def subnets() -> list[Any]:
    return [one for zone in ec2().subnets.values() for one in zone.values()]


# The key
def key_file(scene: LaunchScene, text: str, mode: int = 0o400) -> None:
    scene.ask("create_key_pair", KeyName="mine")
    scene.setting("LAUNCH_KEY_NAME", "mine")
    scene.setting("LAUNCH_KEY_FILE", str(scene.write("mine.pem", text, mode)))


def private(passphrase: bytes = b"") -> str:
    lock = serialization.BestAvailableEncryption(passphrase) if passphrase else None
    return (
        Ed25519PrivateKey.generate()
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            lock or serialization.NoEncryption(),
        )
        .decode()
    )


@ALL.when("EC2 has no key pair 'mine' in us-west-2")
def no_key_pair(scene: LaunchScene) -> None:
    key_file(scene, private())
    scene.ask("delete_key_pair", KeyName="mine")


setting("LAUNCH_KEY_FILE", "mine.pem", "annexkit.launch.key_name: a key pair needs its")
setting("LAUNCH_KEY_NAME", "mine", "annexkit.launch.key_file: a key pair needs its")


@ALL.when("others may read this SSH private key: its mode is 0644")
def key_for_everybody(scene: LaunchScene) -> None:
    key_file(scene, private(), 0o644)


@ALL.when("the private file of key pair 'mine' is not there")
def no_key_file(scene: LaunchScene) -> None:
    key_file(scene, "")
    Path(scene.root / "mine.pem").unlink()


@ALL.when("mine.pem: this SSH private key cannot be read: it is damaged")
def public_half(scene: LaunchScene) -> None:
    key_file(scene, "ssh-rsa AAAA me\n")


@ALL.when("this SSH private key cannot be read: it has a passphrase")
def key_with_a_passphrase(scene: LaunchScene) -> None:
    key_file(scene, private(b"secret"))


@ALL.when("id_ed25519: this SSH private key cannot be read: it is")
def damaged_key_of_the_annex(scene: LaunchScene) -> None:
    scene.write("state/annexes/annex/id_ed25519", "cut off", 0o400)


# The checkout and the state folder
@ALL.when("annexkit.yaml: the user data cannot be read: No such file")
def no_user_data(scene: LaunchScene) -> None:
    (scene.root / "cloud-init/annexkit.yaml").unlink()


@ALL.when("annexkit.yaml: the file is no cloud-config")
def user_data_of_another_kind(scene: LaunchScene) -> None:
    scene.replace("cloud-init/annexkit.yaml", "#cloud-config", "#!/bin/sh")


@ALL.when("nothing is known to fill '${anex}'")
def misspelt_place(scene: LaunchScene) -> None:
    scene.replace("cloud-init/annexkit.yaml", "${annex}", "${anex}")


@ALL.when("the user data has ", code=1)
def too_many_users(scene: LaunchScene) -> None:
    scene.setting("LAUNCH_USERS", ",".join(f"user-{n}" for n in range(2000)))


@ALL.when("annexes/annex/record.json: the record of this annex")
def damaged_record(scene: LaunchScene) -> None:
    scene.write("state/annexes/annex/record.json", "{")


@ALL.when("the file could not be written (File exists)", "launch", code=1)
def file_in_place_of_the_journal(scene: LaunchScene) -> None:
    scene.write("state/journal", "in the way")

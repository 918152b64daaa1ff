"""Deeds that keep an account or a checkout from baking and launching, done for real."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from annexkit import aws, ssh
from annexkit.launch import group, roles
from annexkit.launch.policies import NODE, node_role
from annexkit.process import run
from tests.rehearsal.patient import Patient
from tests.stage import REGION

OURS = {"Key": "annexkit:set", "Value": "annex"}
EVERYWHERE = "0.0.0.0/0"
OPTIONAL = "eu-central-2"
PAIRS = ("alice", "carol", "dave", "frank")  # of deeds, and of what mends them
Deed = Callable[[Patient], object]


def setting(**values: str) -> Deed:
    """Give settings values that will not do."""
    return lambda patient: patient.set(**values)


# Files
def pair(name: str, mode: int = 0o400, *, elsewhere: bool = False) -> Deed:
    """Make a private key file, and a key pair of EC2 of that name."""

    def spoil(patient: Patient) -> None:
        path = patient.place.folder / name
        key = ssh.new_key(path)
        path.chmod(mode)
        if elsewhere:
            key = ssh.new_key(patient.place.folder / f"{name}-of-another")
        public = key.public_line.encode()
        patient.client("ec2").import_key_pair(KeyName=name, PublicKeyMaterial=public)
        patient.set(LAUNCH_KEY_NAME=name, LAUNCH_KEY_FILE=str(path))

    return spoil


def only_here(patient: Patient) -> None:
    path = patient.place.folder / "carol"
    ssh.new_key(path)
    patient.set(LAUNCH_KEY_NAME="carol", LAUNCH_KEY_FILE=str(path))


def nowhere(patient: Patient) -> None:
    path = patient.place.folder / "dave"
    patient.set(LAUNCH_KEY_NAME="dave", LAUNCH_KEY_FILE=str(path))


def open_key(patient: Patient) -> None:
    ssh.new_key(patient.key)
    patient.key.chmod(0o644)


def committed(patient: Patient) -> Path:
    """Put a sound registry into a git repository."""
    path = patient.register(patient.place.folder / "record" / "registry.json")
    git = ("git", "-C", path.parent, "-c", "user.name=t", "-c", "user.email=t@e.x")
    run("git", "init", "--quiet", path.parent)
    run(*git, "add", path.name)
    run(*git, "commit", "--quiet", "--message", "as it is")
    patient.set(REGISTRY=str(path))
    return path


def damaged_registry(patient: Patient) -> None:
    committed(patient).write_text('{"schema": 1,')


def others_registry(patient: Patient) -> None:
    path = patient.register()
    path.write_text(path.read_text().replace("123456789012", "210987654321"))


def without(name: str) -> Deed:
    return lambda patient: (patient.place.stage.checkout / name).unlink()


def file_in_the_way(patient: Patient) -> None:
    way = patient.place.folder / "way"
    way.write_text("")
    patient.set(STATE_DIR=str(way / "state"))


# The account
def strange_group(patient: Patient) -> None:
    ec2 = patient.client("ec2")
    made = {"GroupName": group.NAME, "Description": "of another"}
    ec2.create_security_group(**made, VpcId=patient.default_vpc())


def open_group(patient: Patient) -> None:
    found = group.ensure(
        aws.connect(), REGION, patient.default_vpc(), ["192.0.2.0/24"], None, poll=0.1
    )
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
    patient.client("ec2").authorize_security_group_ingress(
        GroupId=found.id,
        IpPermissions=[{**rule, "IpRanges": [{"CidrIp": EVERYWHERE}]}],
    )


def node_role_there() -> None:
    cloud = aws.connect()
    roles.ensure(cloud, REGION, node_role(cloud, REGION), poll=0.1)


def others_role(patient: Patient) -> None:
    node_role_there()
    patient.client("iam").untag_role(RoleName=NODE, TagKeys=[OURS["Key"]])


def others_profile(patient: Patient) -> None:
    node_role_there()
    untag = patient.client("iam").untag_instance_profile
    untag(InstanceProfileName=NODE, TagKeys=[OURS["Key"]])


def no_route(patient: Patient) -> None:
    delete = patient.client("ec2").delete_route
    delete(RouteTableId=patient.main_table(), DestinationCidrBlock=EVERYWHERE)


def no_gateway(patient: Patient, region: str = REGION) -> None:
    ec2, vpc = patient.client("ec2", region), patient.default_vpc(region)
    wanted = [{"Name": "attachment.vpc-id", "Values": [vpc]}]
    found = ec2.describe_internet_gateways(Filters=wanted)["InternetGateways"]
    for name in [one["InternetGatewayId"] for one in found]:
        ec2.detach_internet_gateway(InternetGatewayId=name, VpcId=vpc)
        ec2.delete_internet_gateway(InternetGatewayId=name)


def no_way_out(patient: Patient) -> None:
    no_gateway(patient)
    no_route(patient)


def private_subnets(patient: Patient) -> None:
    ec2 = patient.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    made = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)["NatGateway"]
    no_route(patient)
    ec2.create_route(
        RouteTableId=patient.main_table(),
        DestinationCidrBlock=EVERYWHERE,
        NatGatewayId=made["NatGatewayId"],
    )
    patient.set(SSH_INTERFACE="public_ip")


def disabled(patient: Patient) -> None:
    patient.client("account").disable_region(RegionName=OPTIONAL)


def no_subnets(region: str) -> Deed:
    def spoil(patient: Patient) -> None:
        ec2 = patient.client("ec2", region)
        for one in ec2.describe_subnets()["Subnets"]:
            ec2.delete_subnet(SubnetId=one["SubnetId"])

    return spoil


def no_vpc(region: str) -> Deed:
    def spoil(patient: Patient) -> None:
        vpc = patient.default_vpc(region)
        no_gateway(patient, region)
        no_subnets(region)(patient)
        patient.client("ec2", region).delete_vpc(VpcId=vpc)

    return spoil


# Who we are
def a_profile(patient: Patient) -> None:
    """Write a profile that has what the environment has, and take it from there."""
    path = patient.place.folder / "config"
    path.write_text(
        "[profile site]\naws_access_key_id = rehearsal\n"
        f"aws_secret_access_key = rehearsal\nregion = {REGION}\n"
    )
    patient.env["AWS_CONFIG_FILE"] = str(path)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del patient.env[name]


def another_profile(patient: Patient) -> None:
    a_profile(patient)
    patient.env["AWS_PROFILE"] = "sight"


# The pool's secret
def open_password(patient: Patient) -> None:
    path = patient.place.folder / "password"
    path.write_text("a-long-password\n")
    path.chmod(0o644)
    patient.set(POOL_METHOD="password", POOL_PASSWORD_FILE=str(path))


def restore(patient: Patient) -> None:
    """Give account and checkout back what a visit took, for the next one."""
    run("git", "-C", patient.place.stage.checkout, "checkout", "--", ".")
    ec2, iam = patient.client("ec2"), patient.client("iam")
    wanted = [{"Name": "group-name", "Values": [group.NAME]}]
    for one in ec2.describe_security_groups(Filters=wanted)["SecurityGroups"]:
        ec2.delete_security_group(GroupId=one["GroupId"])
    for name in PAIRS:
        ec2.delete_key_pair(KeyName=name)  # EC2 says nothing when there is none
    if NODE in [one["RoleName"] for one in iam.list_roles()["Roles"]]:
        iam.tag_role(RoleName=NODE, Tags=[OURS])
        iam.tag_instance_profile(InstanceProfileName=NODE, Tags=[OURS])
    way = {"RouteTableId": patient.main_table(), "DestinationCidrBlock": EVERYWHERE}
    with suppress(ec2.exceptions.ClientError):  # there is none
        ec2.delete_route(**way)
    no_gateway(patient)
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    vpc = patient.default_vpc()
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.create_route(**way, GatewayId=gateway)

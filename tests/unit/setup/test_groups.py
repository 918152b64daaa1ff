"""Which group is meant, against moto's EC2."""

from __future__ import annotations

import pytest

from annexkit import network
from annexkit.aws import Cloud
from annexkit.network import NetworkError
from annexkit.setup import groups
from tests.unit.helpers import REGION


@pytest.fixture
def home(cloud: Cloud) -> str:
    return network.vpc_of(cloud, REGION, "")


def another_vpc(cloud: Cloud) -> str:
    said = cloud.call(REGION, "create_vpc", CidrBlock="10.9.0.0/16")
    return str(said["Vpc"]["VpcId"])


def subnet_in(cloud: Cloud, vpc: str) -> str:
    said = cloud.call(REGION, "create_subnet", VpcId=vpc, CidrBlock="10.9.1.0/24")
    return str(said["Subnet"]["SubnetId"])


def make(cloud: Cloud, name: str, vpc: str) -> str:
    said = cloud.call(
        REGION, "create_security_group", GroupName=name, Description="x", VpcId=vpc
    )
    return str(said["GroupId"])


def without_default_vpc(cloud: Cloud) -> None:
    for vpc in cloud.pages(REGION, "describe_vpcs", "Vpcs"):
        inside = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
        for net in cloud.pages(REGION, "describe_subnets", "Subnets", Filters=inside):
            cloud.call(REGION, "delete_subnet", SubnetId=net["SubnetId"])
        cloud.call(REGION, "delete_vpc", VpcId=vpc["VpcId"])


def choose(cloud: Cloud, wanted: str, subnet: str = "") -> groups.Group:
    return groups.choose(cloud, REGION, wanted, subnet)


def test_the_default_group_is_the_one_of_our_vpc(cloud: Cloud, home: str) -> None:
    other = another_vpc(cloud)
    found = choose(cloud, "default")
    assert (found.name, found.vpc, found.region) == ("default", home, REGION)
    there = choose(cloud, "default", subnet_in(cloud, other))
    assert (there.name, there.vpc) == ("default", other)


def test_a_group_is_found_by_its_name_and_by_its_id(cloud: Cloud, home: str) -> None:
    made = make(cloud, "pool", home)
    wanted = groups.Group(made, "pool", home, REGION)
    assert choose(cloud, "pool") == choose(cloud, made) == wanted


@pytest.mark.parametrize("name", ["*", "p?ol", "pool*"])
def test_a_name_is_no_pattern(cloud: Cloud, home: str, name: str) -> None:
    make(cloud, "pool", home)
    with pytest.raises(NetworkError, match="there is no security group"):
        choose(cloud, name)


def test_a_group_that_is_not_there_is_said_with_the_nearest(
    cloud: Cloud, home: str
) -> None:
    make(cloud, "condor-pool", home)
    with pytest.raises(NetworkError, match="no security group condor-pol") as caught:
        choose(cloud, "condor-pol")
    assert caught.value.mend == "did you mean 'condor-pool'?"
    with pytest.raises(NetworkError, match="no security group sg-0123") as caught:
        choose(cloud, "sg-0123")
    assert "describe-security-groups" in caught.value.mend


def test_one_of_several_of_the_same_name_is_not_guessed(
    cloud: Cloud, home: str
) -> None:
    made = {make(cloud, "pool", home), make(cloud, "pool", another_vpc(cloud))}
    with pytest.raises(NetworkError, match="several groups") as caught:
        choose(cloud, "pool")
    assert all(one in caught.value.what for one in made)
    assert caught.value.mend.rpartition(" ")[2] in made


@pytest.mark.parametrize("by_id", [True, False])
def test_a_group_of_another_vpc_is_refused(
    cloud: Cloud, home: str, by_id: bool
) -> None:
    other = another_vpc(cloud)
    made = make(cloud, "pool", other)
    wanted = made if by_id else "pool"
    with pytest.raises(NetworkError, match="in another VPC") as caught:
        choose(cloud, wanted)
    assert home in caught.value.what and other in caught.value.mend
    assert choose(cloud, wanted, subnet_in(cloud, other)).id == made


def test_the_way_back_reaches_into_any_vpc_by_the_id_alone(
    cloud: Cloud, home: str
) -> None:
    made = make(cloud, "pool", another_vpc(cloud))
    assert groups.choose(cloud, REGION, made, "", anywhere=True).id == made
    with pytest.raises(NetworkError, match="in another VPC"):
        groups.choose(cloud, REGION, "pool", "", anywhere=True)


def test_without_a_default_vpc_there_is_no_default_group(cloud: Cloud) -> None:
    without_default_vpc(cloud)
    other = another_vpc(cloud)
    with pytest.raises(NetworkError, match="no default VPC") as caught:
        choose(cloud, "default")
    assert "--group sg-" in caught.value.mend
    made = make(cloud, "pool", other)
    assert choose(cloud, made).vpc == choose(cloud, "pool").vpc == other


def test_a_subnet_of_the_settings_that_is_not_there_is_no_missing_vpc(
    cloud: Cloud,
) -> None:
    with pytest.raises(NetworkError, match="no subnet subnet-0"):
        choose(cloud, "default", "subnet-0")


def test_a_vpc_may_have_several_networks(cloud: Cloud, home: str) -> None:
    group = choose(cloud, "default")
    assert groups.vpc_cidrs(cloud, group) == ("172.31.0.0/16",)
    cloud.call(
        REGION, "associate_vpc_cidr_block", VpcId=home, CidrBlock="172.30.0.0/16"
    )
    cloud.call(
        REGION,
        "associate_vpc_cidr_block",
        VpcId=home,
        AmazonProvidedIpv6CidrBlock=True,
    )
    four, other, six = groups.vpc_cidrs(cloud, group)
    assert (four, other) == ("172.31.0.0/16", "172.30.0.0/16")
    assert ":" in six


def test_a_network_that_left_the_vpc_does_not_count(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def block(kind: str, cidr: str, state: str) -> dict[str, object]:
        return {f"{kind}Block": cidr, f"{kind}BlockState": {"State": state}}

    vpc = {
        "CidrBlockAssociationSet": [
            block("Cidr", "172.31.0.0/16", "associated"),
            block("Cidr", "172.30.0.0/16", "disassociated"),
        ],
        "Ipv6CidrBlockAssociationSet": [
            block("Ipv6Cidr", "2001:db8:1::/56", "disassociating"),
            block("Ipv6Cidr", "2001:db8:2::/56", "associated"),
        ],
    }
    monkeypatch.setattr(cloud, "pages", lambda *_, **__: iter([vpc]))
    group = groups.Group("sg-1", "x", "vpc-1", REGION)
    assert groups.vpc_cidrs(cloud, group) == ("172.31.0.0/16", "2001:db8:2::/56")

"""The account around the machines, with the real moto behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from werkzeug.test import Client

from annexkit.rehearsal.access import Guard, judged
from annexkit.rehearsal.account import Account
from annexkit.rehearsal.network_view import EVERYWHERE, NetworkView
from annexkit.rehearsal.site import Site
from annexkit.rehearsal.wire import ApiError, Call, Element, Moto, text_of
from tests.unit.rehearsal.samples import a_call, a_rehearsal

OPTIONAL = "eu-central-2"
CODE = {"ServiceCode": "ec2", "QuotaCode": "L-1216C47A"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        create_backend_app,
    )

    application = DomainDispatcherApplication(create_backend_app)
    found = SimpleNamespace(rehearsal=a_rehearsal(tmp_path), moto=Moto(application))
    yield cast(Site, found)
    Client(application).post("/moto-api/reset", base_url="http://127.0.0.1")


@pytest.fixture
def account(site: Site) -> Account:
    return Account(site, Guard(site.moto, {}))


def json_call(service: str, action: str, **params: str) -> Call:
    return Call(service, "us-west-2", action, params, json=True, data=params)


def regions(account: Account, **params: str) -> dict[str, str]:
    told = account.describe_regions(a_call("DescribeRegions", **params))
    return {
        text_of(one, "regionName"): text_of(one, "optInStatus")
        for one in told.iterfind("regionInfo/item")
    }


def test_all_regions_of_the_partition_are_enabled(account: Account) -> None:
    found = regions(account)
    assert found["us-west-2"] == "opt-in-not-required"
    assert found[OPTIONAL] == "opted-in"
    assert not [name for name in found if name.startswith(("cn-", "us-gov-"))]


def test_a_region_that_is_disabled_is_told_on_request_and_refuses(
    account: Account,
) -> None:
    account.disable_region(json_call("account", "DisableRegion", RegionName=OPTIONAL))
    assert OPTIONAL not in regions(account)
    assert regions(account, AllRegions="true")[OPTIONAL] == "not-opted-in"
    with pytest.raises(ApiError, match="AuthFailure"):
        account.check_region(a_call("DescribeVpcs", OPTIONAL))
    account.enable_region(json_call("account", "EnableRegion", RegionName=OPTIONAL))
    account.check_region(a_call("DescribeVpcs", OPTIONAL))
    assert regions(account)[OPTIONAL] == "opted-in"


@pytest.mark.parametrize("name", ["us-west-2", "mars-north-1", ""])
def test_only_regions_with_a_choice_are_disabled(account: Account, name: str) -> None:
    with pytest.raises(ApiError, match="ValidationException"):
        account.disable_region(json_call("account", "DisableRegion", RegionName=name))


def test_the_quota_is_for_as_many_machines_as_there_are(account: Account) -> None:
    found = account.get_quota(json_call("servicequotas", "GetServiceQuota", **CODE))
    assert found is not None
    assert found["Quota"]["Value"] == 8  # four machines


def test_a_quota_is_raised_in_its_region_alone(account: Account) -> None:
    wanted = json_call("servicequotas", "X", **CODE, DesiredValue="40")
    told = account.raise_quota(wanted)
    assert told is not None
    assert told["RequestedQuota"]["Status"] == "APPROVED"
    found = account.get_quota(json_call("servicequotas", "GetServiceQuota", **CODE))
    assert found is not None
    assert found["Quota"]["Value"] == 40
    elsewhere = Call("servicequotas", "eu-west-1", "GetServiceQuota", CODE, True)
    other = account.get_quota(elsewhere)
    assert other is not None
    assert other["Quota"]["Value"] == 8
    with pytest.raises(ApiError, match="IllegalArgumentException"):
        account.raise_quota(wanted)


def test_of_other_quotas_nothing_is_made_up(account: Account) -> None:
    other = {"ServiceCode": "ec2", "QuotaCode": "L-00000000"}
    with pytest.raises(ApiError, match="NoSuchResourceException"):
        account.get_quota(json_call("servicequotas", "GetServiceQuota", **other))
    vpc = {"ServiceCode": "vpc", "QuotaCode": "L-F678F1CE"}
    assert account.get_quota(json_call("servicequotas", "X", **vpc)) is None


def simulated(account: Account, arn: str, *asked: str) -> list[str]:
    params = {f"ActionNames.member.{n}": one for n, one in enumerate(asked, 1)}
    params |= {"PolicySourceArn": arn, "ResourceArns.member.1": "arn:aws:ec2:::x/1"}
    told = account.simulate(Call("iam", "us-east-1", "SimulatePrincipalPolicy", params))
    return [text_of(one, "EvalDecision") for one in told.iter("member")]


def iam(site: Site, action: str, **params: str) -> Element:
    params["Version"] = "2010-05-08"
    return site.moto.ask(Call("iam", "us-east-1", action, params))


def policy(*statements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def test_a_user_may_what_its_own_and_its_groups_policies_say(
    site: Site, account: Account
) -> None:
    iam(site, "CreateUser", UserName="bob")
    iam(site, "CreateGroup", GroupName="staff")
    iam(site, "AddUserToGroup", UserName="bob", GroupName="staff")
    own = {"Effect": "Allow", "Action": "ec2:Run*", "Resource": "arn:aws:ec2:*"}
    deny = {"Effect": "Deny", "Action": ["ec2:StopInstances"], "Resource": "*"}
    of_group = {"Effect": "Allow", "Action": "ec2:S*", "Resource": "*"}
    named = {"PolicyName": "p", "UserName": "bob"}
    iam(site, "PutUserPolicy", PolicyDocument=policy(own, deny), **named)
    text = policy(of_group)
    iam(site, "PutGroupPolicy", GroupName="staff", PolicyName="p", PolicyDocument=text)
    asked = "ec2:RunInstances", "ec2:StartInstances", "ec2:StopInstances", "ec2:CopyX"
    said = simulated(account, "arn:aws:iam::123456789012:user/bob", *asked)
    assert said == ["allowed", "allowed", "explicitDeny", "implicitDeny"]


def test_the_accounts_own_key_may_all_and_who_is_not_there_is_not_known(
    account: Account,
) -> None:
    us = "arn:aws:sts::123456789012:user/moto"
    assert simulated(account, us, "ec2:RunInstances") == ["allowed"]
    for kind in ("user", "role"):
        with pytest.raises(ApiError, match="NoSuchEntity"):
            simulated(account, f"arn:aws:iam::123456789012:{kind}/nobody", "ec2:X")


def test_a_statement_counts_for_its_own_resource() -> None:
    said = [{"Effect": "Allow", "Action": "s3:Get*", "Resource": "arn:aws:s3:::a/*"}]
    assert judged(said, "s3:GetObject", "arn:aws:s3:::a/x") == "allowed"
    assert judged(said, "s3:GetObject", "arn:aws:s3:::b/x") == "implicitDeny"


def way_out(networks: NetworkView, region: str) -> list[tuple[str, str]]:
    """Return (gateway, state) of each route to everywhere."""
    call = a_call("DescribeRouteTables", region)
    networks.furnish(call)
    told = networks.describe_route_tables(call)
    return [
        (text_of(one, "gatewayId")[:4], text_of(one, "state"))
        for one in told.iter("item")
        if text_of(one, "destinationCidrBlock") == EVERYWHERE
    ]


def test_the_default_vpc_has_a_way_out_and_only_one(site: Site) -> None:
    networks = NetworkView(site)
    for region in ("us-west-2", "eu-west-1"):
        assert way_out(networks, region) == [("igw-", "active")]
        assert way_out(networks, region) == [("igw-", "active")]


def test_a_gateway_that_was_taken_away_stays_away_and_leaves_a_blackhole(
    site: Site,
) -> None:
    networks, ec2 = NetworkView(site), site.moto.ec2
    way_out(networks, "us-west-2")
    told = ec2("us-west-2", "DescribeInternetGateways")
    gateway = told.findtext("internetGatewaySet/item/internetGatewayId") or ""
    vpc = told.findtext("internetGatewaySet/item/attachmentSet/item/vpcId") or ""
    named = {"InternetGatewayId": gateway}
    ec2("us-west-2", "DetachInternetGateway", **named, VpcId=vpc)
    assert way_out(networks, "us-west-2") == [("igw-", "blackhole")]


def test_a_new_default_vpc_has_its_way_out_too(site: Site) -> None:
    networks, ec2 = NetworkView(site), site.moto.ec2
    for one in ec2("us-west-2", "DescribeSubnets").iterfind("subnetSet/item"):
        ec2("us-west-2", "DeleteSubnet", SubnetId=text_of(one, "subnetId"))
    vpc = ec2("us-west-2", "DescribeVpcs").findtext("vpcSet/item/vpcId") or ""
    ec2("us-west-2", "DeleteVpc", VpcId=vpc)
    networks.create_default_vpc(a_call("CreateDefaultVpc"))
    assert way_out(networks, "us-west-2") == [("igw-", "active")]

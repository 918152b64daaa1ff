"""``invoke iam`` in an account that others use, too: nothing of theirs is touched."""

from __future__ import annotations

import json

import pytest

from annexkit.errors import Exit, FindingsError
from annexkit.flows import iam
from annexkit.flows.iam import IamRequest
from annexkit.flows.site import Site
from annexkit.launch.policies import NODE, node_role
from annexkit.rights import documents
from annexkit.rights.words import NIGHTLY, Place
from tests.unit.flows.test_iam import ALL, PERSON, PERSONS, Captured, call, told, writes
from tests.unit.helpers import ACCOUNT, REGION

URL = "https://token.actions.githubusercontent.com"


def everything(site: Site) -> dict[str, str]:
    """Return all that stands in the account's IAM, each thing as text."""
    said = call(site, "get_account_authorization_details")
    said |= call(site, "list_instance_profiles")
    kinds = ("UserDetailList", "GroupDetailList", "RoleDetailList", "Policies")
    found = {
        f"{kind} {one['Arn']}": json.dumps(one, default=str, sort_keys=True)
        for kind in (*kinds, "InstanceProfiles")
        for one in said[kind]
    }
    for one in call(site, "list_open_id_connect_providers")[
        "OpenIDConnectProviderList"
    ]:
        about = call(
            site, "get_open_id_connect_provider", OpenIDConnectProviderArn=one["Arn"]
        )
        about.pop("ResponseMetadata")
        found[one["Arn"]] = json.dumps(about, default=str, sort_keys=True)
    return found


def a_users_account(site: Site) -> None:
    """Fill the account with users, groups, roles and policies, some of like names."""
    trust = json.dumps(node_role(site.cloud, REGION).trust)
    text = json.dumps(documents.policy("node", Place(ACCOUNT)))
    call(site, "create_user", UserName="alice")
    call(site, "create_group", GroupName="annexkit-person")
    call(site, "put_user_policy", UserName="alice", PolicyName="x", PolicyDocument=text)
    for name in ("annexkit", "annexkit-persons", "annexkit-person-2", "their-own"):
        call(site, "create_policy", PolicyName=name, PolicyDocument=text)
        call(site, "create_role", RoleName=name, AssumeRolePolicyDocument=trust)
        call(site, "create_instance_profile", InstanceProfileName=name)
        call(
            site,
            "add_role_to_instance_profile",
            InstanceProfileName=name,
            RoleName=name,
        )
        call(
            site,
            "put_role_policy",
            RoleName=name,
            PolicyName="annexkit",
            PolicyDocument=text,
        )
    call(
        site,
        "create_open_id_connect_provider",
        Url="https://gitlab.example.org",
        ClientIDList=["sts.amazonaws.com"],
    )


def test_in_a_users_account_nothing_of_theirs_is_touched(site: Site) -> None:
    a_users_account(site)
    before = everything(site)
    assert len(before) >= 15
    assert iam.set_up(site, ALL) == Exit.DONE
    between = everything(site)
    assert before.items() <= between.items()
    assert (
        len(between) == len(before) + 8
    )  # three policies, three roles, profile, GitHub
    other = IamRequest(
        ("nightly", "person"), ("eu-west-1",), repository="o/g", yes=True
    )
    assert iam.set_up(site, other) == Exit.DONE
    after = everything(site)
    assert before.items() <= after.items()
    assert after.keys() == between.keys()


def test_what_a_user_added_to_ours_stays(site: Site) -> None:
    """A policy in our role, one attached to it, a tag, and who has our policy."""
    iam.set_up(site, ALL)
    text = json.dumps(documents.policy("scheduler", Place(ACCOUNT)))
    theirs = call(site, "create_policy", PolicyName="theirs", PolicyDocument=text)
    arn = theirs["Policy"]["Arn"]
    own = {"PolicyName": "theirs", "PolicyDocument": text}
    call(site, "put_role_policy", RoleName=NODE, **own)
    call(site, "attach_role_policy", RoleName=NODE, PolicyArn=arn)
    call(site, "tag_role", RoleName=NODE, Tags=[{"Key": "Team", "Value": "x"}])
    call(site, "create_user", UserName="alice")
    call(site, "attach_user_policy", UserName="alice", PolicyArn=PERSONS)
    before = everything(site)
    assert iam.set_up(site, ALL) == Exit.DONE
    assert everything(site) == before


def test_what_others_made_is_told_at_once_and_nothing_is_touched(site: Site) -> None:
    trust = json.dumps(node_role(site.cloud, REGION).trust)
    for name in (NODE, NIGHTLY):
        call(site, "create_role", RoleName=name, AssumeRolePolicyDocument=trust)
    text = json.dumps(documents.policy("node", Place(ACCOUNT)))
    call(site, "create_policy", PolicyName=PERSON, PolicyDocument=text)
    site.cloud.calls.clear()
    with pytest.raises(FindingsError) as caught:
        iam.set_up(site, ALL)
    said = [found.what for found in caught.value.findings]
    assert len(said) == 3
    for name in (NODE, NIGHTLY, PERSON):
        assert any(f"{name} is not annexkit's" in what for what in said)
    assert all(found.mend for found in caught.value.findings)
    assert writes(site) == []


def test_githubs_provider_of_another_hand_is_used_and_not_changed(
    site: Site, capsys: Captured
) -> None:
    call(
        site,
        "create_open_id_connect_provider",
        Url=URL,
        ClientIDList=["sts.amazonaws.com"],
    )
    site.cloud.calls.clear()
    said = told(site, capsys, IamRequest(("nightly",), repository="a/b", yes=True))
    assert said["made"] == [NIGHTLY]
    assert writes(site) == ["CreateRole", "PutRolePolicy"]


def test_a_provider_that_is_for_others_only_is_an_error_with_its_command(
    site: Site,
) -> None:
    call(site, "create_open_id_connect_provider", Url=URL, ClientIDList=["other"])
    with pytest.raises(FindingsError) as caught:
        iam.set_up(site, IamRequest(("nightly",), repository="a/b", yes=True))
    [found] = caught.value.findings
    assert "add-client-id-to-open-id-connect-provider" in found.mend

"""GitHub's identity provider, against moto's IAM."""

from __future__ import annotations

from typing import Any

from annexkit.aws import Cloud
from annexkit.launch.group import SET
from annexkit.rights.documents import provider_arn
from annexkit.rights.words import Place
from annexkit.setup import provider
from tests.unit.helpers import ACCOUNT, REGION

ARN = provider_arn(Place(ACCOUNT))
URL = "https://token.actions.githubusercontent.com"


def iam(cloud: Cloud, method: str, **arguments: Any) -> dict[str, Any]:
    return cloud.call(REGION, method, service="iam", **arguments)


def test_it_is_made_once_for_tokens_that_are_meant_for_aws(cloud: Cloud) -> None:
    assert provider.look(cloud, REGION, ARN) is None
    for _ in range(2):
        provider.ensure(cloud, REGION, ARN, SET)
    made = [
        n for (_, a), n in cloud.calls.items() if a == "CreateOpenIDConnectProvider"
    ]
    assert made == [1]
    found = provider.look(cloud, REGION, ARN)
    assert found and found.usable and found.audiences == ("sts.amazonaws.com",)
    asked = {"OpenIDConnectProviderArn": ARN}
    said = iam(cloud, "get_open_id_connect_provider", **asked)
    assert said["Tags"] == [{"Key": "annexkit:set", "Value": "annex"}]


def test_one_of_another_hand_is_used_as_it_is(cloud: Cloud) -> None:
    iam(
        cloud,
        "create_open_id_connect_provider",
        Url=URL,
        ClientIDList=["sts.amazonaws.com", "other"],
        ThumbprintList=["a" * 40],
    )
    provider.ensure(cloud, REGION, ARN, SET)
    said = iam(cloud, "get_open_id_connect_provider", OpenIDConnectProviderArn=ARN)
    assert said.get("Tags", []) == []


def test_one_for_others_only_is_not_usable(cloud: Cloud) -> None:
    iam(cloud, "create_open_id_connect_provider", Url=URL, ClientIDList=["other"])
    found = provider.look(cloud, REGION, ARN)
    assert found and not found.usable

"""The SDK's session: what it reads faster, and that it reads the same."""

from __future__ import annotations

import ast
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.utils import parse_timestamp
from moto import mock_aws

from annexkit.aws_session import READ, moment, new_session, profiles
from tests.unit.helpers import AMI, REGION

ANNEXKIT = Path(__file__).parents[2] / "annexkit"
# Who reads described instances.
READERS = ("instance_values.py", "instances.py", "sweep/find.py")


@pytest.mark.parametrize(
    "said",
    [
        "2026-11-22T21:00:00.000Z",
        "2026-11-22T21:00:00Z",
        "2026-11-22T21:00:00+01:00",
        "2026-11-22T21:00:00",
        "Sun, 22 Nov 2026 21:00:00 GMT",
        "1795381200",
        1795381200.5,
    ],
)
def test_a_moment_is_what_botocore_reads(said: Any) -> None:
    assert moment(said) == parse_timestamp(said)


def test_what_is_no_moment_is_botocores_error() -> None:
    with pytest.raises(ValueError, match="Invalid timestamp"):
        moment("2026-99-99T00:00:00Z")


def members_of_an_instance() -> set[str]:
    model: Any = boto3.client("ec2", region_name=REGION).meta.service_model
    return set(model.shape_for("Instance").members)


def test_the_model_names_all_that_is_kept() -> None:
    assert members_of_an_instance() >= READ


def test_whoever_reads_instances_finds_what_is_kept() -> None:
    """Every key in capitals that the readers name, and an instance has, is kept."""
    members = members_of_an_instance()
    named = {
        node.value
        for reader in READERS
        for node in ast.walk(ast.parse((ANNEXKIT / reader).read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    # Parameters and things of other kinds that share a name with a part of instances.
    others = {"Architecture", "RootDeviceName", "BlockDeviceMappings", "KeyName"}
    others |= {"IamInstanceProfile", "MetadataOptions"}
    assert (named & members) - others <= READ


def test_no_other_session_loses_what_ours_passes_over() -> None:
    before = members_of_an_instance()
    ours: Any = new_session().client("ec2", region_name=REGION)
    members = set(ours.meta.service_model.shape_for("Instance").members)
    assert members == READ
    assert members_of_an_instance() == before > READ


def test_an_instance_is_read_as_by_the_sdks_own_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        ours: Any = new_session().client("ec2", region_name=REGION)
        theirs: Any = boto3.client("ec2", region_name=REGION)
        theirs.run_instances(ImageId=AMI, MinCount=1, MaxCount=1)
        found: list[list[dict[str, Any]]] = [
            client.describe_instances()["Reservations"][0]["Instances"]
            for client in (theirs, ours)  # moto answers by the model that it saw first
        ]
    [other], [mine] = found
    assert "RootDeviceName" in other
    assert "RootDeviceName" not in mine
    assert mine == {name: other[name] for name in other if name in READ}
    assert isinstance(mine["LaunchTime"], datetime)
    assert mine["LaunchTime"].astimezone(UTC) == other["LaunchTime"]


def test_profiles_are_named_although_another_one_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text("[profile work]\nregion = us-west-2\n[profile home]\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert profiles() == ["home", "work"]
    config.write_text("[profile")
    assert profiles() == []

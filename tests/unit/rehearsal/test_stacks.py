from __future__ import annotations

import json
from typing import Any, cast

import pytest

from annexkit.rehearsal.stacks import Stacks
from annexkit.rehearsal.wire import ApiError, Call, Moto
from tests.unit.rehearsal.samples import Answers

CALL = Call(
    "cloudformation",
    "us-west-2",
    "DescribeStackResource",
    {"StackName": "grid", "LogicalResourceId": "Launch"},
)
TEMPLATE = {
    "Parameters": {"Idle": {"Type": "Number", "Default": 900}, "Where": {}},
    "Conditions": {"More": {"Fn::Not": [{"Fn::Equals": ["", {"Ref": "Where"}]}]}},
}


def metadata(asked: Any, where: str = "cm", name: str = "Launch") -> Any:
    """Return what an instance reads where the template has *asked*."""
    resources = {name: {"Type": "X", "Metadata": {"is": asked}}}
    template = json.dumps({**TEMPLATE, "Resources": resources})
    moto = Answers(
        DescribeStackResource="<r><StackResourceDetail/></r>",
        GetTemplate=f"<r><TemplateBody>{template}</TemplateBody></r>",
        DescribeStacks="<r><Parameters><member><ParameterKey>Where</ParameterKey>"
        f"<ParameterValue>{where}</ParameterValue></member></Parameters></r>",
    )
    root = Stacks(cast(Moto, moto)).describe_resource(CALL)
    said = root.findtext(".//Metadata")
    return json.loads(said)["is"] if said else None


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"a": ["b", 1]}, {"a": ["b", 1]}),
        ({"Ref": "Where"}, "cm"),
        ({"Ref": "Idle"}, "900"),
        ({"Ref": "AWS::Region"}, "us-west-2"),
        ({"Fn::Join": ["-", ["a", {"Ref": "AWS::StackName"}, 1]]}, "a-grid-1"),
        ({"Fn::If": ["More", {"Ref": "Where"}, "no"]}, "cm"),
    ],
)
def test_metadata_come_as_an_instance_reads_them(asked: Any, wanted: Any) -> None:
    assert metadata(asked) == wanted


def test_a_condition_may_be_false() -> None:
    assert metadata({"Fn::If": ["More", "yes", "no"]}, where="") == "no"


def test_a_resource_without_metadata_has_none() -> None:
    assert metadata("x", name="Other") is None


@pytest.mark.parametrize("asked", [{"Ref": "Nothing"}, {"Fn::Sub": "${Where}"}])
def test_what_is_not_known_is_an_error_and_not_a_wrong_text(asked: Any) -> None:
    with pytest.raises(ApiError, match="not known here"):
        metadata(asked)

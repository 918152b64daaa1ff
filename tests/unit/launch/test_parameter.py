"""The secret of a launch in SSM, against moto's."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from annexkit.aws import AwsError, Cloud
from annexkit.instances import from_tags
from annexkit.launch import parameter
from annexkit.launch.parameter import Parameter, ParameterError
from tests.unit.helpers import REGION

LAUNCH = "0123456789ab"
END = 1_764_000_000.0
ONE = Parameter("grid", LAUNCH, END)
SECRET = "eyJhbGciOiJIUzI1NiJ9.c2VjcmV0.c2lnbmF0dXJl"


def ssm(cloud: Cloud, method: str, **arguments: Any) -> dict[str, Any]:
    return cloud.call(REGION, method, service="ssm", **arguments)


def value(cloud: Cloud, name: str = ONE.name) -> str:
    said = ssm(cloud, "get_parameter", Name=name, WithDecryption=True)
    return str(said["Parameter"]["Value"])


def tags_of(cloud: Cloud, name: str = ONE.name) -> dict[str, str]:
    said = ssm(
        cloud, "list_tags_for_resource", ResourceType="Parameter", ResourceId=name
    )
    return from_tags(said["TagList"])


def test_a_secret_is_stored_encrypted_with_its_end(cloud: Cloud) -> None:
    parameter.put(cloud, REGION, ONE, SECRET)
    assert ONE.name == f"/annexkit/grid/{LAUNCH}"
    assert value(cloud) == SECRET
    [said] = ssm(cloud, "describe_parameters")["Parameters"]
    assert (said["Type"], said["Tier"]) == ("SecureString", "Standard")
    assert SECRET not in str(said)
    assert tags_of(cloud) == {
        "htcondor:AnnexName": "grid",
        "annexkit:launch": LAUNCH,
        "annexkit:expires": str(int(END)),
    }


@pytest.mark.parametrize("again", [parameter.put, parameter.overwrite])
def test_another_secret_takes_its_place_with_another_end(
    cloud: Cloud, again: Any
) -> None:
    parameter.put(cloud, REGION, ONE, SECRET)
    again(cloud, REGION, Parameter("grid", LAUNCH, END + 60), "another")
    assert value(cloud) == "another"
    assert tags_of(cloud)["annexkit:expires"] == str(int(END) + 60)


def test_what_is_not_there_is_not_overwritten(cloud: Cloud) -> None:
    with pytest.raises(AwsError, match="InvalidResourceId"):
        parameter.overwrite(cloud, REGION, ONE, SECRET)
    assert parameter.listed(cloud, REGION) == []


def test_deleting_may_be_repeated(cloud: Cloud) -> None:
    parameter.put(cloud, REGION, ONE, SECRET)
    parameter.delete(cloud, REGION, ONE.name)
    parameter.delete(cloud, REGION, ONE.name)
    assert parameter.listed(cloud, REGION) == []


def test_ours_are_listed_and_nobody_elses(cloud: Cloud) -> None:
    other = Parameter("gridiron", LAUNCH, END)
    for one in (other, ONE):
        parameter.put(cloud, REGION, one, SECRET)
    for name in ("/annexkit/by/hand", "/other/grid/0123456789ab"):
        ssm(cloud, "put_parameter", Name=name, Value="x", Type="String")
    assert parameter.listed(cloud, REGION) == [ONE, other]
    assert parameter.listed(cloud, REGION, "grid") == [ONE]
    assert parameter.listed(cloud, REGION, "gri") == []


def test_all_pages_are_listed(cloud: Cloud) -> None:
    for number in range(60):
        parameter.put(cloud, REGION, Parameter("grid", f"{number:012x}", END), SECRET)
    assert len(parameter.listed(cloud, REGION)) == 60


def test_one_that_goes_while_it_is_listed_is_left_out(cloud: Cloud) -> None:
    parameter.put(cloud, REGION, ONE, SECRET)
    call = cloud.call

    def deleting(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        said = call(region, method, **arguments)
        if method == "describe_parameters":
            parameter.delete(cloud, REGION, ONE.name)
        return said

    cloud.call = deleting  # type: ignore[method-assign]
    assert parameter.listed(cloud, REGION) == []


@pytest.mark.parametrize(
    ("secret", "says"), [("", "is empty"), ("\n", "is empty"), ("ä" * 2049, "4098")]
)
def test_what_ssm_does_not_take_is_refused_before_any_call(
    cloud: Cloud, secret: str, says: str
) -> None:
    for act in (parameter.put, parameter.overwrite):
        with pytest.raises(ParameterError, match=says) as caught:
            act(cloud, REGION, ONE, secret)
        assert caught.value.where == ONE.name
        assert "ää" not in str(caught.value)
    assert not cloud.calls


def test_4096_bytes_are_taken(cloud: Cloud) -> None:
    parameter.put(cloud, REGION, ONE, "x" * 4096)
    assert len(value(cloud)) == 4096


def test_no_error_shows_the_secret(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    call = cloud.call

    def echo(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        if method == "put_parameter":
            raise AwsError(
                f"1 validation error: Value '{arguments['Value']}' is odd",
                code="ValidationException",
                action="PutParameter",
                region=region,
                refused=True,
            )
        return call(region, method, **arguments)

    cloud.call = echo  # type: ignore[method-assign]
    with pytest.raises(AwsError, match=r"Value '\.\.\.' is odd") as caught:
        parameter.put(cloud, REGION, ONE, SECRET)
    told = [str(caught.value), *caught.value.args, caplog.text]
    told += traceback.format_exception(caught.value)
    assert SECRET not in "".join(map(str, told))
    assert caught.value.refused
    assert (caught.value.code, caught.value.action) == (
        "ValidationException",
        "PutParameter",
    )

from __future__ import annotations

import json
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request, Response

from annexkit.rehearsal import wire
from annexkit.rehearsal.reading import read_call
from annexkit.rehearsal.wire import ApiError, Call, Moto
from tests.unit.rehearsal.samples import a_call

SIGNED = (
    "AWS4-HMAC-SHA256 Credential=AKIA/20240517/eu-west-1/ec2/aws4_request, "
    "SignedHeaders=host, Signature=00"
)


def a_request(body: str = "", **headers: str) -> Request:
    all_headers = {"Content-Type": wire.FORM, **headers}
    builder = EnvironBuilder(method="POST", data=body, headers=[*all_headers.items()])
    return Request(builder.get_environ())


def test_a_call_is_read_with_its_region_and_service() -> None:
    call = read_call(
        a_request("Action=RunInstances&MinCount=1&UserData=", Authorization=SIGNED)
    )
    assert call == Call(
        "ec2", "eu-west-1", "RunInstances", {"MinCount": "1", "UserData": ""}
    )


def test_a_json_call_is_named_by_its_target() -> None:
    target = {"X-Amz-Target": "AmazonSSM.GetParameter"}
    call = read_call(a_request("{}", Authorization=SIGNED, **target))
    assert call is not None
    assert (call.action, call.json) == ("GetParameter", True)


def test_a_request_that_names_no_action_is_no_call() -> None:
    assert read_call(a_request("x=1", Authorization=SIGNED)) is None
    assert read_call(a_request("Action=DescribeImages")) is None


def test_members_come_in_the_order_of_their_numbers() -> None:
    call = Call("ec2", "r", "a", {f"InstanceId.{n}": f"i-{n}" for n in (10, 2, 1)})
    assert call.members("InstanceId") == ["i-1", "i-2", "i-10"]
    assert call.members("Instance") == []


def test_tags_are_read_for_one_kind_of_resource() -> None:
    params = {
        "TagSpecification.1.ResourceType": "instance",
        "TagSpecification.1.Tag.1.Key": "Name",
        "TagSpecification.1.Tag.1.Value": "n1",
        "TagSpecification.2.ResourceType": "volume",
        "TagSpecification.2.Tag.1.Key": "bare",
    }
    call = Call("ec2", "r", "a", params)
    assert wire.tags_for(call, "instance") == {"Name": "n1"}
    assert wire.tags_for(call, "volume") == {"bare": ""}
    assert wire.tags_for(call, "image") == {}


def test_taking_a_parameter_out_takes_what_is_below_it() -> None:
    call = a_call("x", Filter__1__Name="a", Filters="b", Tag="c")
    assert call.without("Filter", "Tag").params == {"Filters": "b"}


@pytest.mark.parametrize(
    ("call", "holds"),
    [
        (Call("ec2", "r", "a"), "<Response><Errors><Error><Code>A.B</Code>"),
        (Call("sts", "r", "a"), "<ErrorResponse><Error><Type>Sender</Type>"),
        (Call("ssm", "r", "a", json=True), '{"__type": "A.B", "message": "<&>"}'),
    ],
)
def test_an_error_is_written_as_the_protocol_has_it(call: Call, holds: str) -> None:
    response = wire.error_response(ApiError("A.B", "<&>", 418), call)
    text = response.get_data(as_text=True)
    assert response.status_code == 418
    assert holds in text
    assert call.json or "<Message>&lt;&amp;&gt;</Message>" in text


def test_a_text_is_put_where_its_path_says() -> None:
    root = wire.parse('<a xmlns="urn:x"><b><c>old</c></b></a>')
    wire.put(root, "b/c", "new")
    wire.put(root, "d/e", "made")
    assert wire.write(root) == "<a><b><c>new</c></b><d><e>made</e></d></a>"


def test_an_answer_has_the_namespace_of_ec2() -> None:
    text = wire.answer(wire.result("X", imageId="ami-1")).get_data(as_text=True)
    assert f'<XResponse xmlns="{wire.XMLNS}">' in text
    assert "<imageId>ami-1</imageId>" in text


def moto_that_answers(text: str, status: int = 200) -> tuple[Moto, list[Request]]:
    seen: list[Request] = []

    def application(environ: Any, start_response: Any) -> Any:
        request = Request(environ)
        request.get_data(cache=True)
        seen.append(request)
        return Response(text, status)(environ, start_response)

    return Moto(application), seen


def test_moto_is_asked_in_the_callers_region() -> None:
    moto, seen = moto_that_answers("<r><x>1</x></r>")
    root = moto.ec2("ap-south-1", "DescribeImages", Owner__1="self")
    assert root.findtext("x") == "1"
    assert read_call(seen[0]) == Call(
        "ec2",
        "ap-south-1",
        "DescribeImages",
        {"Version": wire.VERSION, "Owner.1": "self"},
    )


def test_what_moto_refuses_is_refused_with_its_own_words() -> None:
    moto, _ = moto_that_answers(
        "<Response><Errors><Error><Code>C</Code><Message>M</Message></Error></Errors>"
        "</Response>",
        412,
    )
    with pytest.raises(ApiError) as caught:
        moto.ec2("us-west-2", "RunInstances")
    assert (caught.value.code, caught.value.message, caught.value.status) == (
        "C",
        "M",
        412,
    )


def test_a_request_is_handed_on_as_it_came() -> None:
    moto, seen = moto_that_answers("answer", 201)
    response = moto.forward(a_request('{"a": 1}', **{"X-Amz-Target": "T.A"}))
    assert (response.status_code, response.get_data()) == (201, b"answer")
    assert json.loads(seen[0].get_data()) == {"a": 1}
    assert seen[0].headers["X-Amz-Target"] == "T.A"

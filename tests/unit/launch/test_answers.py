"""The table of answers to EC2's errors."""

from __future__ import annotations

import pytest

from annexkit.aws import AwsError
from annexkit.launch.answers import RULES, Answer, ruling
from tests.unit.helpers import REGION
from tests.unit.launch.fake_ec2 import lost, refused


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("InsufficientInstanceCapacity", Answer.NEXT_TARGET),
        ("InsufficientHostCapacity", Answer.NEXT_TARGET),
        ("InsufficientReservedInstanceCapacity", Answer.NEXT_TARGET),
        ("InsufficientCapacity", Answer.NEXT_TARGET),
        ("UnfulfillableCapacity", Answer.NEXT_TARGET),
        ("MaxSpotInstanceCountExceeded", Answer.NEXT_TARGET),
        ("SpotMaxPriceTooLow", Answer.NEXT_TARGET),
        ("Unsupported", Answer.NEXT_TARGET),
        ("VcpuLimitExceeded", Answer.STOP_FAMILY),
        ("InstanceLimitExceeded", Answer.STOP_FAMILY),
        ("InsufficientFreeAddressesInSubnet", Answer.SKIP_SUBNET),
        ("InvalidSubnetID.NotFound", Answer.SKIP_SUBNET),
        ("RequestLimitExceeded", Answer.SAME_TOKEN),
        ("ThrottlingException", Answer.SAME_TOKEN),
        ("InvalidGroup.NotFound", Answer.WAIT_PROFILE),
        ("IdempotentInstanceTerminated", Answer.NEW_TOKEN),
        ("IdempotentParameterMismatch", Answer.FATAL),
        ("UnauthorizedOperation", Answer.FATAL),
        ("InvalidAMIID.NotFound", Answer.FATAL),
        ("InvalidAMIID.Unavailable", Answer.FATAL),
        ("PendingVerification", Answer.FATAL),
        ("AuthFailure.ServiceLinkedRoleCreationNotPermitted", Answer.FATAL),
        ("InvalidKeyPair.NotFound", Answer.FATAL),
        ("VolumeLimitExceeded", Answer.FATAL),
        ("ExpiredToken", Answer.FATAL),
        ("NobodyKnowsThis", Answer.FATAL),
    ],
)
def test_each_refusal_has_its_answer_and_a_mend(code: str, answer: Answer) -> None:
    said = ruling(refused(code))
    assert (said.code, said.answer) == (code, answer)
    assert said.says
    assert said.mend


def test_the_codes_count_whether_they_come_as_a_refusal_or_as_http_500() -> None:
    assert ruling(lost("RequestLimitExceeded")).answer is Answer.SAME_TOKEN
    assert ruling(lost("InsufficientInstanceCapacity")).answer is Answer.NEXT_TARGET


@pytest.mark.parametrize(
    "code",
    [
        *("ReadTimeoutError", "ConnectionClosedError", "EndpointConnectionError"),
        *("ConnectTimeoutError", "InternalError", "Unavailable", "ServiceUnavailable"),
        *("HTTPClientError", "ProxyConnectionError", "ResponseStreamingError"),
    ],
)
def test_when_nobody_can_say_what_came_of_a_call_it_is_lost(code: str) -> None:
    said = ruling(lost(code))
    assert said.answer is Answer.LOST
    assert "invoke reap" in said.mend


@pytest.mark.parametrize(
    "code",
    [
        *("NoCredentialsError", "ParamValidationError", "UnauthorizedSSOTokenError"),
        *("TokenRetrievalError", "ProfileNotFound", "CredentialRetrievalError"),
    ],
)
def test_a_call_that_was_never_sent_is_not_lost_but_fatal(code: str) -> None:
    assert ruling(lost(code)).answer is Answer.FATAL


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ("Value (x) for parameter iamInstanceProfile.name is invalid. "
         "Invalid IAM Instance Profile name", Answer.WAIT_PROFILE),
        ("Value (x) for parameter iamInstanceProfile.name is invalid",
         Answer.WAIT_PROFILE),
        ("The specified instance type is not eligible for Free Tier", Answer.FATAL),
        ("Value (x) for parameter groupId is invalid", Answer.FATAL),
    ],
)  # fmt: skip
def test_a_bad_parameter_is_told_apart_by_its_message(
    message: str, answer: Answer
) -> None:
    assert ruling(refused("InvalidParameterValue", message)).answer is answer


def test_the_free_plan_is_named_as_the_reason() -> None:
    message = "The specified instance type is not eligible for Free Tier."
    said = ruling(refused("InvalidParameterCombination", message))
    assert "free plan" in said.says


def test_a_right_to_tag_volumes_that_is_missing_is_named() -> None:
    arn = f"arn:aws:ec2:{REGION}:123456789012:volume/*"
    message = f"not authorized to perform: ec2:CreateTags on resource: {arn} because"
    said = ruling(refused("UnauthorizedOperation", message))
    assert "volume" in said.says
    assert "ec2:CreateTags" in said.mend
    other = ruling(refused("UnauthorizedOperation", "Encoded authorization failure"))
    assert "ec2:RunInstances" in other.mend


def test_an_unknown_refusal_is_said_in_awss_own_words() -> None:
    error = AwsError(
        "the moon is full", code="Lunar", action="Run", region="x", refused=True
    )
    assert "the moon is full" in ruling(error).says


def test_every_rule_ends_with_something_to_do() -> None:
    assert [rule.codes for rule in RULES if not rule.mend or not rule.says] == []

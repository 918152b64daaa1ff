"""Where services are: AWS's own parameters (as moto carries them), else botocore's."""

from __future__ import annotations

from typing import Any

import pytest

from annexkit.aws import AwsError, Cloud, connect
from annexkit.setup import regions
from annexkit.setup.regions import NEEDS, Fitness, Offered, OptIn
from tests.unit.helpers import REGION

Patch = pytest.MonkeyPatch
EVERYWHERE = frozenset({REGION, "eu-north-1"})
ASKED = OptIn({REGION: "opt-in-not-required", "eu-north-1": "opted-in"})


def offered(**changes: frozenset[str]) -> Offered:
    """Say that every service is everywhere, but for the changes."""
    where = {need.service: EVERYWHERE for need in NEEDS} | changes
    return Offered("aws-parameters", where)


def judge(offered: Offered, opt_in: OptIn, region: str, **more: Any) -> Fitness:
    return regions.judge(offered, opt_in, region, **{"known": EVERYWHERE, **more})


def refusing(code: str, *, refused: bool = True) -> Any:
    def call(region: str, method: str, **_: object) -> None:
        raise AwsError("no", code=code, action=method, region=region, refused=refused)

    return call


def test_awss_own_parameters_are_read_to_their_last_page(cloud: Cloud) -> None:
    found = regions.look(cloud)
    assert (found.source, found.why) == ("aws-parameters", "")
    assert {need.service for need in NEEDS} == set(found.where)
    assert all(REGION in listed for listed in found.where.values())
    # Ten a page at most (GetParametersByPath), and all in the one region.
    assert len(found.where["ec2"]) > 20
    assert cloud.calls.keys() == {("us-east-1", "GetParametersByPath")}
    assert cloud.calls.total() >= 3 * len(NEEDS)


def test_only_the_regions_of_awss_own_partition_are_taken(cloud: Cloud) -> None:
    names = regions.look(cloud).regions
    assert list(names) == sorted(set(names))
    assert not [n for n in names if n.startswith(("cn-", "us-gov-", "eusc-"))]


def test_only_the_very_first_page_is_not_retried(
    cloud: Cloud, monkeypatch: Patch
) -> None:
    sent: list[bool] = []
    real = cloud.call

    def call(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        sent.append(arguments["launch"])
        return real(region, method, **arguments)

    monkeypatch.setattr(cloud, "call", call)
    regions.look(cloud)
    assert sent[0] is True
    assert not any(sent[1:])


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException"])
def test_when_ssm_refuses_botocore_stands_in_and_it_is_said_why(
    monkeypatch: Patch, code: str
) -> None:
    cloud = connect()
    monkeypatch.setattr(cloud, "call", refusing(code))
    found = regions.look(cloud)
    assert found.source == "botocore"
    assert code in found.why
    assert REGION in found.where["scheduler"]


def test_parameters_that_name_no_region_are_no_source(
    cloud: Cloud, monkeypatch: Patch
) -> None:
    def empty(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        names = [] if "/scheduler/" in arguments["Path"] else [REGION]
        return {"Parameters": [{"Value": name} for name in names]}

    monkeypatch.setattr(cloud, "call", empty)
    found = regions.look(cloud)
    assert found.source == "botocore"
    assert "EventBridge Scheduler" in found.why


def test_what_was_not_reached_a_moment_ago_is_not_tried_again() -> None:
    cloud = connect()
    found = regions.look(cloud, "there is no network")
    assert (found.source, found.why) == ("botocore", "there is no network")
    assert not cloud.calls


@pytest.mark.parametrize(
    ("region", "partition"),
    [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")],
)
def test_other_partitions_have_no_parameters_but_regions_of_their_own(
    monkeypatch: Patch, region: str, partition: str
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    cloud = connect()
    found = regions.look(cloud)
    assert found.source == "botocore"
    assert partition in found.why
    assert region in found.where["ec2"]
    assert REGION not in found.regions
    assert not cloud.calls


def test_a_default_region_that_is_none_does_not_matter(monkeypatch: Patch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "nowhere")
    assert REGION in regions.look(connect(), "no network").regions


def test_disabled_regions_are_asked_for_too_and_only_once(monkeypatch: Patch) -> None:
    cloud = connect()
    sent: list[tuple[str, dict[str, Any]]] = []

    def call(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        sent.append((method, arguments))
        return {
            "Regions": [
                {"RegionName": REGION, "OptInStatus": "opt-in-not-required"},
                {"RegionName": "eu-south-1", "OptInStatus": "not-opted-in"},
            ]
        }

    monkeypatch.setattr(cloud, "call", call)
    found = regions.ask_opt_in(cloud)
    assert sent == [("describe_regions", {"launch": True, "AllRegions": True})]
    assert found.of("eu-south-1") == "not-opted-in"
    assert found.of("xx-south-1") == "not-offered"


@pytest.mark.parametrize("refused", [True, False])
def test_who_could_not_ask_knows_nothing_and_says_why(
    monkeypatch: Patch, refused: bool
) -> None:
    cloud = connect()
    monkeypatch.setattr(cloud, "call", refusing("Odd", refused=refused))
    found = regions.ask_opt_in(cloud)
    assert found.of(REGION) == "unknown"
    assert "Odd" in found.why
    assert found.answered is refused


def test_a_default_region_that_is_not_enabled_is_no_obstacle(
    monkeypatch: Patch,
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-south-2")
    cloud = connect()
    asked: list[str] = []

    def call(region: str, method: str, **_: Any) -> dict[str, Any]:
        asked.append(region)
        if region != "us-east-1":
            raise AwsError(
                "no", code="AuthFailure", action="x", region=region, refused=True
            )
        return {"Regions": [{"RegionName": REGION, "OptInStatus": "opted-in"}]}

    monkeypatch.setattr(cloud, "call", call)
    assert regions.ask_opt_in(cloud).of(REGION) == "opted-in"
    assert asked == ["eu-south-2", "us-east-1"]


def test_who_is_refused_everywhere_asks_no_third_time(monkeypatch: Patch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-south-2")
    cloud = connect()
    monkeypatch.setattr(cloud, "call", refusing("AuthFailure"))
    found = regions.ask_opt_in(cloud)
    assert (found.of(REGION), found.answered) == ("unknown", True)
    assert "us-east-1" in found.why


def test_a_status_that_is_not_told_is_not_known(monkeypatch: Patch) -> None:
    cloud = connect()
    told = {"Regions": [{"RegionName": REGION}]}
    monkeypatch.setattr(cloud, "call", lambda *_, **__: told)
    found = judge(offered(), regions.ask_opt_in(cloud), REGION)
    assert (found.fit, found.reasons) == (None, ())


def test_a_region_that_botocore_does_not_know_cannot_be_used_yet() -> None:
    found = judge(offered(), ASKED, REGION, known=frozenset())
    assert found.fit is False
    assert "newer than the installed botocore" in found.reasons[0]


def test_a_region_with_everything_that_is_enabled_is_fit() -> None:
    for region in EVERYWHERE:
        found = judge(offered(), ASKED, region)
        assert (found.fit, found.reasons, found.notes) == (True, (), ())


@pytest.mark.parametrize(
    ("service", "title"),
    [(n.service, n.title) for n in NEEDS if not n.contracts],
)
def test_a_region_that_lacks_what_is_always_needed_is_unfit(
    service: str, title: str
) -> None:
    lacking = offered(**{service: EVERYWHERE - {REGION}})
    found = judge(lacking, ASKED, REGION)
    assert (found.fit, found.reasons) == (False, (f"no {title}",))
    assert found.services[service] is False
    assert judge(lacking, ASKED, "eu-north-1").fit is True


def test_all_that_is_missing_is_said_at_once() -> None:
    gone = EVERYWHERE - {REGION}
    status = OptIn({REGION: "not-opted-in"})
    found = judge(offered(ssm=gone, sts=gone), status, REGION)
    assert found.reasons == (
        "no SSM, no STS",
        "not enabled in this account: aws account enable-region --region-name "
        f"{REGION}",
    )


@pytest.mark.parametrize(
    ("service", "note"),
    [
        ("s3", "no S3: not for annex-ec2 and seed-cfn"),
        ("cloudformation", "no CloudFormation: not for seed-cfn"),
    ],
)
def test_what_only_a_contract_needs_is_a_note(service: str, note: str) -> None:
    lacking = offered(**{service: frozenset({"eu-north-1"})})
    found = judge(lacking, ASKED, REGION)
    assert (found.fit, found.notes) == (True, (note,))


def test_the_scheduler_is_needed_unless_launches_do_without_it() -> None:
    lacking = offered(scheduler=frozenset({"eu-north-1"}))
    assert judge(lacking, ASKED, REGION).fit is False
    found = judge(lacking, ASKED, REGION, scheduler=False)
    assert found.fit is True
    assert "EventBridge Scheduler" in found.notes[0]


def test_botocore_may_only_be_too_old_to_know() -> None:
    where = {**offered().where, "sts": frozenset({"eu-north-1"})}
    found = judge(Offered("botocore", where), ASKED, REGION)
    assert found.reasons == ("no STS that this botocore knows of",)


def test_without_the_accounts_word_a_region_is_neither_fit_nor_unfit() -> None:
    unasked = OptIn({}, "no credentials", answered=False)
    assert judge(offered(), unasked, REGION).fit is None
    lacking = offered(ec2=frozenset({"eu-north-1"}))
    assert judge(lacking, unasked, REGION).fit is False


def test_a_region_that_nobody_lists_is_told_as_that() -> None:
    found = judge(offered(), ASKED, "us-wset-2")
    assert found.reasons == ("no region of this partition, or misspelt",)

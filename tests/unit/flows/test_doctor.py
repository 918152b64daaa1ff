"""The doctor: every bad situation is said, with a command that exists; none hides."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from annexkit.doctor.lines import Line, wrong
from annexkit.errors import AnnexkitError, Exit, FindingsError
from annexkit.flows import doctor as flow
from annexkit.flows.doctor import AT_ONCE, CHECKS, Check, DoctorRequest
from annexkit.flows.doctor_subject import Once, Subject
from annexkit.flows.site import Site
from tests.unit.flows import bad_account, bad_network, bad_region, bad_site
from tests.unit.flows.mends import unknown
from tests.unit.flows.ward import Situation, Ward, a_ward, refused, unreached
from tests.unit.helpers import REGION

SITUATIONS = [
    *bad_account.SITUATIONS,
    *bad_region.SITUATIONS,
    *bad_network.SITUATIONS,
    *bad_site.SITUATIONS,
]
LOCAL = {
    *("ssh key", "ssh sources", "recipe", "packer", "amazon plugin", "registry"),
    *("state folder", "pool settings", "pool", "pool secret", "clock", "key pair"),
}


@pytest.fixture
def ward(site: Site, monkeypatch: pytest.MonkeyPatch) -> Ward:
    return a_ward(site, monkeypatch)


def by_status(page: dict[str, list[dict[str, str]]], status: str) -> set[str]:
    return {line["check"] for line in page["lines"] if line["status"] == status}


def test_where_nothing_is_wrong_the_page_says_so_and_nothing_is_changed(
    ward: Ward,
) -> None:
    page = ward.examined()
    others = [line for line in page["lines"] if line["status"] != "ok"]
    assert [line["check"] for line in others] == ["pool host"]
    assert others[0]["status"] == "not checked"
    assert "invoke pool.check on the central manager" in others[0]["mend"]
    assert page["exit"] == Exit.DONE
    assert (page["region"], page["count"]) == (REGION, 2)
    reads = ("describe_", "get_", "simulate_")
    assert [name for name, _ in ward.calls if not name.startswith(reads)] == []


def test_the_lines_stand_in_the_order_of_the_checks(ward: Ward) -> None:
    said = [line["check"] for line in ward.examined()["lines"]]
    names = [check.name for check in CHECKS]
    order = [name for name in dict.fromkeys(said) if name in names]
    assert order == names


@pytest.mark.parametrize("one", SITUATIONS, ids=lambda one: one.name)
def test_what_is_wrong_is_said_with_the_command_that_mends_it(
    ward: Ward, one: Situation
) -> None:
    one.spoil(ward)
    page = ward.examined()
    said = [line for line in page["lines"] if line["check"] == one.check]
    fitting = [line for line in said if one.words in line["what"]]
    assert fitting, said
    whole = [ln for ln in fitting if one.mend in ln["mend"]]
    assert {line["status"] for line in whole} == {one.status}, fitting
    assert page["exit"] == (Exit.FAILED if by_status(page, "wrong") else Exit.DONE)
    if one.status == "wrong":
        assert page["exit"] == Exit.FAILED
    # The others are there all the same, and whatever is wrong names its mend.
    assert {check.name for check in CHECKS} <= {line["check"] for line in page["lines"]}
    assert not any("broke off" in line["what"] for line in page["lines"]), page["lines"]
    for line in page["lines"]:
        if line["status"] in ("wrong", "warning"):
            assert line["mend"], line
        assert unknown(line["mend"]) == [], line


def test_the_situations_are_many_and_each_is_another() -> None:
    assert len(SITUATIONS) >= 30
    assert len({one.name for one in SITUATIONS}) == len(SITUATIONS)
    assert {one.check for one in SITUATIONS} == {check.name for check in CHECKS}


def test_every_situation_was_well_before(ward: Ward) -> None:
    well = {line["what"] for line in ward.examined()["lines"] if line["status"] == "ok"}
    assert [one.name for one in SITUATIONS if any(one.words in w for w in well)] == []


def test_without_credentials_all_that_needs_none_is_told(ward: Ward) -> None:
    ward.told["get_caller_identity"] = unreached("NoCredentialsError")
    page = ward.examined()
    assert by_status(page, "wrong") == {"identity"}
    assert by_status(page, "ok") == LOCAL
    waiting = [ln for ln in page["lines"] if "needs what 'identity'" in ln["what"]]
    assert {"permissions", "quotas", "network", "ami", "node role"} <= {
        line["check"] for line in waiting
    }
    asked = {name for name, _ in ward.calls}
    assert asked == {"get_caller_identity"}


def test_a_region_that_is_not_enabled_is_asked_nothing_else(ward: Ward) -> None:
    ward.told["describe_regions"] = bad_region.not_opted_in
    page = ward.examined()
    assert by_status(page, "wrong") == {"region"}
    waiting = [ln for ln in page["lines"] if "needs what 'region'" in ln["what"]]
    assert {"permissions", "quotas", "network", "ami", "node role"} <= {
        line["check"] for line in waiting
    }


def test_who_may_not_list_regions_is_told_the_rest(ward: Ward) -> None:
    ward.told["describe_regions"] = refused("UnauthorizedOperation")
    page = ward.examined()
    assert by_status(page, "wrong") == {"region"}
    assert by_status(page, "not checked") == {"pool host"}


def test_without_an_ami_the_rest_is_looked_at(ward: Ward) -> None:
    ward.site.registry.update(lambda registry: registry.images.clear())
    page = ward.examined()
    assert by_status(page, "wrong") == {"registry"}
    assert by_status(page, "not checked") == {"ami", "pool host"}


def test_a_check_that_breaks_off_hides_no_other_and_fails(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(subject: Subject) -> Iterator[Line]:
        yield wrong("mine", "first", mend="x")
        raise KeyError("ours")

    monkeypatch.setattr(flow, "CHECKS", (Check("mine", breaks), *CHECKS))
    page = ward.examined()
    first, second = page["lines"][:2]
    assert first["what"] == "first"
    assert "KeyError: 'ours'" in second["what"]
    assert page["exit"] == Exit.FAILED
    assert by_status(page, "wrong") == {"mine"}


def test_checks_run_side_by_side_but_not_all_at_once(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(AT_ONCE, timeout=20)
    lock, running, most = threading.Lock(), 0, 0

    def meets(subject: Subject) -> Iterator[Line]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait()  # raises unless as many others come
        with lock:
            running -= 1
        return iter(())

    monkeypatch.setattr(flow, "CHECKS", tuple([Check("x", meets)] * (3 * AT_ONCE)))
    assert ward.examined()["lines"] == []
    assert most == AT_ONCE


def test_what_several_checks_need_is_asked_once(ward: Ward) -> None:
    ward.examined()
    names = [name for name, _ in ward.calls]
    assert names.count("describe_instance_type_offerings") == 1
    # Once to see who we are, and once by the door for the account's number.
    assert names.count("get_caller_identity") == 2


def test_an_error_is_an_answer_that_is_asked_for_once() -> None:
    once, asked = Once(), 0

    def fails() -> int:
        nonlocal asked
        asked += 1
        raise AnnexkitError("no")

    for _ in range(2):
        with pytest.raises(AnnexkitError, match="no"):
            once.get("x", fails)
    assert asked == 1
    assert once.get("y", lambda: 3) == once.get("y", lambda: 4) == 3


def test_the_count_of_the_flag_is_what_the_quota_must_hold(ward: Ward) -> None:
    ward.told["get_service_quota"] = {"Quota": {"Value": 10.0}}
    ward.flags = {"count": "9"}
    page = ward.examined()
    assert page["count"] == 9
    [line] = [line for line in page["lines"] if line["check"] == "quotas"]
    assert (line["status"], "9 of m7i.large need 18" in line["what"]) == ("wrong", True)
    assert "--count 5" in line["mend"]


def test_what_runs_is_taken_off_the_quota(ward: Ward) -> None:
    ward.told["get_service_quota"] = {"Quota": {"Value": 8.0}}
    ward.real(
        "run_instances",
        ImageId=ward.ami,
        InstanceType="m7i.xlarge",
        MinCount=1,
        MaxCount=1,
    )
    assert by_status(ward.examined(), "wrong") == set()
    ward.console.results.clear()
    ward.flags = {"count": 3}
    page = ward.examined()
    [line] = [line for line in page["lines"] if line["check"] == "quotas"]
    assert "8 vCPUs on-demand (standard), 4 run" in line["what"]
    assert line["status"] == "wrong"


def test_what_runs_counts_in_its_own_market_and_family(ward: Ward) -> None:
    running = [("m7i.4xlarge", "spot"), ("g5.xlarge", ""), ("m7i.large", "")]
    ward.told["describe_instances"] = [
        {
            "Instances": [
                {
                    "InstanceId": f"i-{number}",
                    "State": {"Name": "running"},
                    "InstanceType": kind,
                    **({"InstanceLifecycle": market} if market else {}),
                }
                for number, (kind, market) in enumerate(running)
            ]
        }
    ]
    ward.set({"market": "spot-then-on-demand"})
    spot, on_demand = (
        line["what"] for line in ward.examined()["lines"] if line["check"] == "quotas"
    )
    assert "64 vCPUs spot (standard), 16 run" in spot
    assert "64 vCPUs on-demand (standard), 2 run" in on_demand


def test_a_flag_that_cannot_be_read_is_refused_at_once(ward: Ward) -> None:
    with pytest.raises(FindingsError, match="--count"):
        flow.doctor(ward.site, DoctorRequest(flags={"count": "many"}))
    assert ward.calls == []


def test_a_dry_run_asks_for_what_a_launch_asks_for(ward: Ward) -> None:
    bad_account.dry_run("run_instances", "DryRunOperation")(ward)
    page = ward.examined()
    assert page["exit"] == Exit.DONE
    [asked] = [arguments for name, arguments in ward.calls if name == "run_instances"]
    assert asked["DryRun"] is True
    assert asked["ImageId"] == ward.ami
    assert asked["InstanceType"] == "m7i.large"
    assert asked["MetadataOptions"]["HttpTokens"] == "required"


def test_an_endpoint_that_acts_on_a_dry_run_is_told(ward: Ward) -> None:
    bad_account.dry_run("run_instances", "DryRunOperation")(ward)
    ward.told["create_security_group"] = {"GroupId": "sg-1"}
    ward.told["run_instances"] = {"Instances": []}
    page = ward.examined()
    wrong = [line for line in page["lines"] if line["status"] == "wrong"]
    assert len(wrong) == 2
    assert all("on a dry run" in line["what"] for line in wrong)
    assert all("AWS_ENDPOINT_URL" in line["mend"] for line in wrong)


def test_a_role_with_a_path_is_simulated_by_its_own_name(ward: Ward) -> None:
    account = "123456789012"
    role = f"arn:aws:iam::{account}:role/aws-reserved/Admin"
    caller = f"arn:aws:sts::{account}:assumed-role/Admin/alice"
    ward.told["get_caller_identity"] = {"Arn": caller, "Account": account}
    real = ward._call

    def get_role(RoleName: str, **asked: Any) -> object:
        if RoleName == "Admin":
            return {"Role": {"Arn": role}}
        return real(REGION, "get_role", RoleName=RoleName, **asked)

    ward.told["get_role"] = get_role
    ward.examined()
    simulated = [a for name, a in ward.calls if name == "simulate_principal_policy"]
    assert {asked["PolicySourceArn"] for asked in simulated} == {role}
    ward.told["get_role"] = refused("AccessDenied")
    ward.calls.clear()
    ward.console.results.clear()
    ward.examined()
    simulated = [a for name, a in ward.calls if name == "simulate_principal_policy"]
    assert {asked["PolicySourceArn"] for asked in simulated} == {
        f"arn:aws:iam::{account}:role/Admin"
    }


def test_every_page_of_a_simulation_is_read(ward: Ward) -> None:
    def pages(**asked: object) -> dict[str, object]:
        decision = "implicitDeny" if "Marker" in asked else "allowed"
        results = [{"EvalActionName": "ec2:RunInstances", "EvalDecision": decision}]
        more = {} if "Marker" in asked else {"IsTruncated": True, "Marker": "m"}
        return {"EvaluationResults": results} | more

    ward.told["simulate_principal_policy"] = pages
    assert "permissions" in by_status(ward.examined(), "wrong")

"""``invoke iam``: what differs is shown, made once, and nobody else's is touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annexkit.aws import AwsError
from annexkit.console import Console
from annexkit.errors import Exit, UsageError
from annexkit.flows import iam
from annexkit.flows.iam import IamRequest
from annexkit.flows.site import Site
from annexkit.launch.policies import NODE, SCHEDULER
from annexkit.registry import RegistryError
from annexkit.rights import documents
from annexkit.rights.words import COMMANDS, NIGHTLY, POLICIES, Place
from annexkit.settings import Settings
from tests.unit.helpers import ACCOUNT, REGION

Captured = pytest.CaptureFixture[str]
WRITES = ("Create", "Put", "Add", "Update", "Delete", "Remove", "Attach", "Tag")
READS = ("Describe", "Get", "List")
PERSON, PUBLISH, SETUP = POLICIES.values()
ALL = IamRequest(repository="one/grid", yes=True)
PERSONS = f"arn:aws:iam::{ACCOUNT}:policy/{PERSON}"


def call(site: Site, method: str, **arguments: Any) -> dict[str, Any]:
    return site.cloud.call(REGION, method, service="iam", **arguments)


def writes(site: Site) -> list[str]:
    """Return the calls that may have changed something, with their numbers."""
    actions = [
        action
        for (_, action), count in site.cloud.calls.items()
        for _ in range(count)
        if not action.startswith(READS)
    ]
    assert all(action.startswith(WRITES) for action in actions), actions
    return sorted(actions)


def told(site: Site, captured: Captured, request: IamRequest) -> dict[str, Any]:
    """Run it for a machine, and return what it said."""
    site.console = Console(as_json=True)
    captured.readouterr()
    assert iam.set_up(site, request) == Exit.DONE
    found: dict[str, Any] = json.loads(captured.readouterr().out)
    return found


def state(said: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["state"] for one in said["found"]}


def test_all_is_made_and_a_second_run_changes_nothing_and_says_so(
    site: Site, capsys: Captured
) -> None:
    assert iam.set_up(site, ALL) == Exit.DONE
    said = capsys.readouterr().err
    for arn in (PERSONS.replace(PERSON, name) for name in POLICIES.values()):
        assert f"attach-group-policy --group-name GROUP --policy-arn {arn}" in said
    for name in (NODE, SCHEDULER, NIGHTLY):
        assert call(site, "get_role", RoleName=name)["Role"]["RoleName"] == name
    site.cloud.calls.clear()
    assert iam.set_up(site, ALL) == Exit.DONE
    assert writes(site) == []
    assert f"nothing to do in {ACCOUNT}" in capsys.readouterr().out


def test_every_call_that_changes_something_stands_in_the_plan(
    site: Site, capsys: Captured
) -> None:
    plan = told(site, capsys, IamRequest(repository="one/grid", dry_run=True))
    assert writes(site) == []
    planned = [action for one in plan["found"] for action in one["calls"]]
    assert set(state(plan).values()) == {"missing"}
    made = told(site, capsys, ALL)
    assert writes(site) == sorted(planned)
    assert made["found"] == plan["found"]
    assert set(made["made"]) == {one["name"] for one in plan["found"]}


def test_an_administrator_may_make_every_call_of_it(site: Site) -> None:
    iam.set_up(site, ALL)
    for n in range(6):  # IAM keeps five versions
        regions = tuple(f"eu-west-{r}" for r in range(1, n % 3 + 2))
        iam.set_up(site, IamRequest(("person",), regions, yes=True))
    iam.set_up(site, IamRequest(("nightly",), repository="other/grid", yes=True))
    called = {action for _, action in site.cloud.calls}
    assert {"DeletePolicyVersion", "UpdateAssumeRolePolicy"} <= called
    rights = {r.action.partition(":")[2] for r in documents.rights_of("administrator")}
    assert sorted(called - rights) == []


def test_what_was_changed_by_hand_is_shown_and_mended(
    site: Site, capsys: Captured
) -> None:
    iam.set_up(site, ALL)
    wide = json.dumps(documents.policy("administrator", Place(ACCOUNT)))
    call(
        site,
        "put_role_policy",
        RoleName=NIGHTLY,
        PolicyName="annexkit",
        PolicyDocument=wide,
    )
    call(
        site,
        "create_policy_version",
        PolicyArn=PERSONS,
        PolicyDocument=wide,
        SetAsDefault=True,
    )
    site.cloud.calls.clear()
    said = told(site, capsys, ALL)
    differing = [one for one in said["found"] if one["state"] == "differs"]
    assert {one["name"] for one in differing} == {NIGHTLY, PERSON}
    for one in differing:
        assert '-        "iam:CreatePolicy' in one["difference"], "as it stood"
        assert '+        "ec2:RunInstances"' in one["difference"], "as it is wanted"
    assert writes(site) == ["CreatePolicyVersion", "PutRolePolicy"]
    short = {"RoleName": NIGHTLY, "MaxSessionDuration": 3600}
    call(site, "update_role", **short)
    [role] = [p for p in told(site, capsys, ALL)["found"] if p["name"] == NIGHTLY]
    assert role["calls"] == ["UpdateRole"]
    assert "-sessions of 3600 s\n+sessions of 21600 s" in role["difference"]
    assert set(state(told(site, capsys, ALL)).values()) == {"is there"}


def test_people_see_the_difference_before_they_are_asked(
    site: Site, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    iam.set_up(site, ALL)
    capsys.readouterr()
    seen = []

    def ask(question: str) -> str:
        seen.append((question, capsys.readouterr().err))
        return "n"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", ask)
    site.cloud.calls.clear()
    again = IamRequest(("nightly",), repository="other/grid")
    assert iam.set_up(site, again) == Exit.DONE
    [(question, before)] = seen
    assert question.startswith("Make these 1 calls?")
    assert "repo:one/grid:ref:refs/heads/main" in before
    assert "repo:other/grid:ref:refs/heads/main" in before
    assert writes(site) == []


def test_nobody_here_to_ask_is_an_error_that_names_both_ways(site: Site) -> None:
    with pytest.raises(UsageError, match="nobody is here") as caught:
        iam.set_up(site, IamRequest())
    assert "--yes" in caught.value.mend and "--dry-run" in caught.value.mend
    assert writes(site) == []


def test_without_a_repository_there_is_no_nightly_role(
    site: Site, capsys: Captured
) -> None:
    iam.set_up(site, IamRequest(dry_run=True))
    assert "without --repository there is no role" in capsys.readouterr().err
    said = told(site, capsys, IamRequest(dry_run=True))
    assert set(state(said)) == {PERSON, PUBLISH, SETUP, NODE, SCHEDULER}
    with pytest.raises(UsageError, match="is not set") as caught:
        iam.set_up(site, IamRequest(("nightly",)))
    assert "--repository OWNER/NAME" in caught.value.mend


@pytest.mark.parametrize(
    ("repository", "branch"),
    [
        *(("one", ""), ("one/*", ""), ("one/grid/x", ""), ("one/grid", "*")),
        *(("o/g", "a b"), ("one@1/grid", ""), ("one/grid@2", ""), ("one@*/grid@2", "")),
    ],
)
def test_what_is_no_repository_or_branch_is_refused(
    site: Site, repository: str, branch: str
) -> None:
    with pytest.raises(UsageError, match="is no name"):
        iam.set_up(site, IamRequest(("nightly",), (), False, repository, branch))


def test_repository_and_branch_come_from_the_settings(
    site: Site, capsys: Captured
) -> None:
    section = {"repository": "one/grid", "branch": "release/1"}
    site.settings = Settings.model_validate(
        {**site.settings.model_dump(exclude_unset=True), "iam": section}
    )
    said = told(site, capsys, IamRequest(yes=True))
    assert NIGHTLY in said["made"]
    trust = call(site, "get_role", RoleName=NIGHTLY)["Role"]["AssumeRolePolicyDocument"]
    assert "repo:one/grid:ref:refs/heads/release/1" in json.dumps(trust)


def test_a_repository_whose_subjects_have_numbers_is_trusted_by_them(
    site: Site,
) -> None:
    iam.set_up(site, IamRequest(("nightly",), repository="one@12/grid@345", yes=True))
    trust = call(site, "get_role", RoleName=NIGHTLY)["Role"]["AssumeRolePolicyDocument"]
    assert '"repo:one@12/grid@345:ref:refs/heads/main"' in json.dumps(trust)


def test_regions_are_the_settings_the_flags_or_all(
    site: Site, capsys: Captured
) -> None:
    def limits(request: IamRequest) -> Any:
        said = told(site, capsys, request)
        policy = next(one for one in said["found"] if one["name"] == PERSON)
        assert ("aws:RequestedRegion" in policy["difference"]) is bool(said["regions"])
        return said["regions"]

    look = {"roles": ("person",), "dry_run": True}
    assert limits(IamRequest(**look)) == [REGION, "us-east-1"]  # type: ignore[arg-type]
    named = IamRequest(("person",), ("eu-west-1,eu-west-2",), dry_run=True)
    assert limits(named) == ["eu-west-1", "eu-west-2"]
    assert limits(IamRequest(("person",), (), True, dry_run=True)) == []


def test_regions_of_another_partition_decide_what_it_is(
    site: Site, capsys: Captured
) -> None:
    said = told(site, capsys, IamRequest(("node",), ("cn-north-1",), dry_run=True))
    assert said["partition"] == "aws-cn"
    assert '"ec2.amazonaws.com.cn"' in said["found"][0]["difference"]


def test_regions_of_two_partitions_are_refused(site: Site) -> None:
    for regions in ((REGION, "cn-north-1"), ("us-gov-west-1", "us-east-1")):
        with pytest.raises(UsageError, match="different partitions"):
            iam.set_up(site, IamRequest(regions=regions))
    with pytest.raises(UsageError, match="unknown region"):
        iam.set_up(site, IamRequest(regions=("us-wset-2",)))


def test_a_role_that_is_none_or_none_to_make_is_refused(site: Site) -> None:
    with pytest.raises(UsageError, match="no role 'nigthly'") as caught:
        iam.set_up(site, IamRequest(("nigthly",)))
    assert "nightly" in caught.value.mend
    with pytest.raises(UsageError, match="printed, not made") as caught:
        iam.set_up(site, IamRequest(("administrator",)))
    assert caught.value.mend == "invoke iam --show --role administrator"
    assert not site.cloud.calls


def test_the_registry_of_another_account_stops_it(site: Site) -> None:
    site.cloud.__dict__["account"] = "999999999999"
    with pytest.raises(RegistryError):
        iam.set_up(site, ALL)
    assert writes(site) == []


def test_what_iam_refuses_is_told_and_stops_no_other(
    site: Site, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = site.cloud.call

    def refuse(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        if method == "create_policy":
            raise AwsError("no", code="AccessDenied", action=method, region=region)
        return real(region, method, **arguments)

    monkeypatch.setattr(site.cloud, "call", refuse)
    assert iam.set_up(site, ALL) == Exit.PARTLY
    said = capsys.readouterr().err
    assert "create_policy" in said and "docs/iam-administrator.json" in said
    assert iam.set_up(site, IamRequest(("person",), yes=True)) == Exit.FAILED
    monkeypatch.undo()
    assert told(site, capsys, ALL)["made"] == [PERSON, PUBLISH, SETUP]


def test_who_may_not_even_look_hears_what_it_takes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(region: str, method: str, **_: Any) -> dict[str, Any]:
        raise AwsError("no", code="AccessDenied", action=method, region=region)

    site.cloud.account  # noqa: B018 - asked for before
    monkeypatch.setattr(site.cloud, "call", refuse)
    with pytest.raises(AwsError) as caught:
        iam.set_up(site, ALL)
    assert "docs/iam-administrator.json" in caught.value.mend


@pytest.mark.parametrize("who", ["person", "setup", "administrator"])
def test_show_prints_what_is_published_and_asks_nothing_of_aws(
    site: Site, capsys: Captured, who: str
) -> None:
    assert iam.show(site, IamRequest((who,))) == Exit.DONE
    name = {"person": "iam-policy.json"}.get(who, f"iam-{who}.json")
    docs = Path(__file__).parents[3] / "docs"
    assert capsys.readouterr().out == (docs / name).read_text(encoding="utf-8")
    assert not site.cloud.calls


def test_show_prints_several_by_name_with_who_may_take_the_role(
    site: Site, capsys: Captured
) -> None:
    every = tuple(COMMANDS)
    iam.show(site, IamRequest(every, ("cn-north-1",), repository="one/grid"))
    said = json.loads(capsys.readouterr().out)
    assert set(said) == {*every, "nightly, who may take it"}
    assert "arn:aws-cn:" in json.dumps(said) and "arn:aws:" not in json.dumps(said)
    iam.show(site, IamRequest(("nightly",), repository="one/grid"))
    said = json.loads(capsys.readouterr().out)
    assert set(said) == {"nightly", "nightly, who may take it"}
    site.console = Console(as_json=True)
    iam.show(site, IamRequest(("node",)))
    assert set(json.loads(capsys.readouterr().out)) == {"node"}

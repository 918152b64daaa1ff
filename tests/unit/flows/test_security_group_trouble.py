"""``invoke security-group`` in trouble: refused, stopped, raced; the journal of it."""

from __future__ import annotations

from typing import Any

import pytest

from annexkit import tags
from annexkit.aws import AwsError
from annexkit.errors import Exit
from annexkit.flows.security_group import GroupRequest, open_group
from annexkit.flows.site import Site
from annexkit.journal import Entry
from annexkit.setup import security_group
from annexkit.setup.groups import Group
from annexkit.stopping import Stop
from tests.unit.flows.conftest import ALIVE, GONE
from tests.unit.flows.mends import unknown
from tests.unit.flows.opening import (
    ASKED,
    HOME,
    UNDO,
    default_group,
    everything,
    mine,
    move,
    there,
)
from tests.unit.helpers import REGION, an_entry

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def group(site: Site) -> Group:
    return default_group(site)


def journalled(site: Site, monkeypatch: pytest.MonkeyPatch) -> list[list[Entry]]:
    """Note the open entries at every call that changes something."""
    call = site.cloud.call
    seen: list[list[Entry]] = []

    def watch(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        if method.startswith(("authorize", "revoke")):
            seen.append(site.journal.entries())
        return call(region, method, **arguments)

    monkeypatch.setattr(site.cloud, "call", watch)
    return seen


def test_every_change_is_journalled_before_it_is_made(
    site: Site, group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = journalled(site, monkeypatch)
    open_group(site, ASKED)
    open_group(site, UNDO)
    assert len(seen) == 4  # three rules, one revocation
    for [entry] in seen:
        assert (entry.kind, entry.region) == ("rules", REGION)
        assert entry.tags == {"group": group.id}
        assert entry.owner == ALIVE
    assert site.journal.entries() == []


def test_what_a_killed_run_left_in_the_journal_is_struck(
    site: Site, group: Group
) -> None:
    def left(name: str, owner: Any, of: str) -> None:
        entry = an_entry(owner, id=name, kind="rules", build="", tags={"group": of})
        site.journal.write(entry)

    left("dead", GONE, group.id)
    left("running", ALIVE, group.id)
    left("of-another", GONE, "sg-2")
    open_group(site, ASKED)
    assert {entry.id for entry in site.journal.entries()} == {"running", "of-another"}


def failing(
    site: Site, monkeypatch: pytest.MonkeyPatch, at: int, error: BaseException
) -> None:
    """Let one call to add a rule fail, by its place."""
    call = site.cloud.call
    count: list[str] = []

    def fail(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        if method == "authorize_security_group_ingress":
            count.append(method)
            if len(count) == at:
                raise error
        return call(region, method, **arguments)

    monkeypatch.setattr(site.cloud, "call", fail)


def refusal(*, refused: bool, code: str = "Odd") -> AwsError:
    return AwsError("no", code=code, action="X", region=REGION, refused=refused)


@pytest.mark.parametrize(("refused", "open_entries"), [(True, 0), (False, 1)])
def test_a_refusal_of_the_first_rule_changes_nothing(
    site: Site,
    group: Group,
    monkeypatch: pytest.MonkeyPatch,
    refused: bool,
    open_entries: int,
) -> None:
    failing(site, monkeypatch, 1, refusal(refused=refused))
    with pytest.raises(AwsError, match="Odd"):
        open_group(site, ASKED)
    assert there(site, group) == {}
    # Without an answer nobody knows; the entry then waits for the next run.
    assert len(site.journal.entries()) == open_entries


def test_a_group_that_is_full_is_filled_partly_and_that_is_said(
    site: Site, group: Group, capsys: Captured
) -> None:
    for port in range(1000, 1059):  # moto allows 60, as EC2 does unless asked
        mine(site, group, port)
    before = everything(site)
    assert open_group(site, ASKED) == Exit.PARTLY
    said = capsys.readouterr()
    assert "1 of 3 rules added" in said.out
    assert "RulesPerSecurityGroupLimitExceeded" in said.err
    assert "name fewer networks" in said.err
    assert site.journal.entries() == []
    open_group(site, UNDO)
    assert everything(site) == before


@pytest.mark.parametrize("wanted", [ASKED, UNDO])
def test_who_may_not_open_a_group_hears_how_to_be_allowed(
    site: Site, group: Group, monkeypatch: pytest.MonkeyPatch, wanted: GroupRequest
) -> None:
    if wanted is UNDO:
        open_group(site, ASKED)
    before = everything(site)
    real = site.cloud.call

    def refuse(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        if method.startswith(("authorize", "revoke")):
            raise refusal(refused=True, code="UnauthorizedOperation")
        return real(region, method, **arguments)

    monkeypatch.setattr(site.cloud, "call", refuse)
    with pytest.raises(AwsError) as caught:
        open_group(site, wanted)
    assert f"--resources {group.id} --tags Key={tags.MAY_OPEN}" in caught.value.mend
    assert unknown(caught.value.mend) == []
    assert everything(site) == before
    assert site.journal.entries() == []


def test_a_run_that_was_stopped_is_finished_by_the_next(
    site: Site, group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        failing(site, patch, 2, Stop("SIGINT"))
        with pytest.raises(Stop):
            open_group(site, ASKED)
    assert len(there(site, group)) == 1
    assert len(site.journal.entries()) == 1
    assert open_group(site, ASKED) == Exit.DONE
    assert len(there(site, group)) == 3
    open_group(site, UNDO)
    assert there(site, group) == {}


def test_a_rule_that_somebody_adds_meanwhile_stays_theirs(
    site: Site, group: Group, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    call = site.cloud.call
    raced: list[str] = []

    def race(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        if method == "authorize_security_group_ingress" and not raced:
            raced.append(method)
            mine(site, group)
        return call(region, method, **arguments)

    monkeypatch.setattr(site.cloud, "call", race)
    assert open_group(site, ASKED) == Exit.DONE
    assert "2 of 3 rules added" in capsys.readouterr().out
    assert there(site, group)[f"22/tcp from {HOME}"] is False
    open_group(site, UNDO)
    assert there(site, group) == {f"22/tcp from {HOME}": False}


def test_an_answer_that_was_lost_hides_no_rule_of_ours(
    site: Site, group: Group, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    call = site.cloud.call

    def twice(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        if method == "authorize_security_group_ingress":
            call(region, method, **arguments)  # botocore sends it again
        return call(region, method, **arguments)

    monkeypatch.setattr(site.cloud, "call", twice)
    open_group(site, GroupRequest(cidrs=(HOME,), rules="ssh,condor"))
    assert "2 of 2 rules added" in capsys.readouterr().out
    assert set(there(site, group).values()) == {True}


def test_a_rule_of_ours_that_somebody_changed_is_told_and_left(
    site: Site, group: Group, capsys: Captured
) -> None:
    open_group(site, GroupRequest(cidrs=(HOME,), rules="ssh"))
    [rule] = security_group.look(site.cloud, group)
    move(site, group, rule.id, "198.51.100.0/24")
    capsys.readouterr()
    assert open_group(site, UNDO) == Exit.DONE
    said = capsys.readouterr()
    assert "nothing to do" in said.out
    assert f"--security-group-rule-ids {rule.id}" in said.err
    assert there(site, group) == {"22/tcp from 198.51.100.0/24": False}


@pytest.mark.parametrize("refused", [True, False])
def test_what_was_added_before_a_failure_is_kept_and_told(
    site: Site,
    group: Group,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
    refused: bool,
) -> None:
    failing(site, monkeypatch, 3, refusal(refused=refused))
    assert open_group(site, ASKED) == Exit.PARTLY
    assert "2 of 3 rules added" in capsys.readouterr().out
    assert list(there(site, group).values()) == [True, True]
    assert bool(site.journal.entries()) is not refused

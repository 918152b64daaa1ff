"""A launch that is stopped or fails ends what it made, at whatever moment it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from annexkit import annexes, journal
from annexkit.aws import AwsError
from annexkit.errors import AnnexkitError, Interrupted
from annexkit.flows import launch_plan, launch_run, launch_start, launch_undo
from annexkit.flows.launch_annex import launch_annex
from annexkit.flows.launch_undo import undone_on_error
from annexkit.stopping import Stop
from tests.unit.flows.annex import launch as other_launch
from tests.unit.flows.annex import living
from tests.unit.flows.launching import World, request
from tests.unit.helpers import REGION

# Each call of a launch that changes something, and what it waits for, in order.
MOMENTS = (
    "create_role",
    "create_schedule_group",
    "create_security_group",
    "put_parameter",
    "run_instances",
    "create_schedule",
    "verify",
    "join",
    "update_schedule",
    "create_tags",
    "delete_parameter",
)
# What a launch can do without for once.
FORGIVEN = ("create_schedule", "delete_parameter")


def once(error: BaseException) -> Callable[..., None]:
    """Return what raises an error at its first call."""
    left = [error]

    def raise_it(**_: Any) -> None:
        if left:
            raise left.pop()

    return raise_it


def refused(code: str = "UnauthorizedOperation") -> AwsError:
    return AwsError("no", code=code, action="It", region=REGION, refused=True)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_stop_at_any_moment_leaves_nothing(world: World, moment: str) -> None:
    world.on[moment] = once(Stop("SIGTERM"))
    with pytest.raises(Stop):
        launch_annex(world.site, request())
    assert world.names(moment), "the launch came that far"
    assert world.left() == {}
    assert living(world.site) == []
    assert not annexes.folder(world.site.state, "grid").path.exists()
    assert "stopped by SIGTERM: ending what this launch made" in world.console.text


@pytest.mark.parametrize("moment", [m for m in MOMENTS if m not in FORGIVEN])
def test_a_refusal_at_any_moment_leaves_nothing(world: World, moment: str) -> None:
    world.on[moment] = once(refused())
    with pytest.raises(AnnexkitError) as caught:
        launch_annex(world.site, request())
    assert all(found.mend for found in caught.value.findings)
    assert world.left() == {}
    assert not annexes.folder(world.site.state, "grid").path.exists()


def test_a_secret_that_stays_is_said_and_ends_no_good_node(world: World) -> None:
    world.on["delete_parameter"] = once(refused("AccessDeniedException"))
    launch_annex(world.site, request())
    assert world.left() == {"instances": 2, "schedules": 2, "secrets": 1}
    assert "still holds the nodes' secret" in world.console.text
    assert "invoke reap" in world.console.text


def test_a_schedule_that_is_refused_once_is_armed_with_the_lease(
    world: World,
) -> None:
    world.on["create_schedule"] = once(refused())
    launch_annex(world.site, request())
    assert world.left() == {"instances": 2, "schedules": 2}
    assert "UnauthorizedOperation" in world.console.text


def test_schedules_that_are_always_refused_are_no_lease(world: World) -> None:
    def always(**_: Any) -> None:
        raise refused()

    world.on |= {"create_schedule": always, "update_schedule": always}
    with pytest.raises(AwsError, match="UnauthorizedOperation"):
        launch_annex(world.site, request())
    assert world.left() == {}


def test_an_answer_that_was_lost_is_ended_by_its_token(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EC2 launched, the stop came before the answer: the token alone knows."""
    send = world.site.cloud.call

    def stopped(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        said = send(region, method, **arguments)
        if method == "run_instances":
            raise Stop("SIGINT")
        return said

    monkeypatch.setattr(world.site.cloud, "call", stopped)
    with pytest.raises(Stop):
        launch_annex(world.site, request())
    [made] = world.tokens.values()
    assert [one["InstanceIds"] for one in world.sent("terminate_instances")] == [made]
    assert world.left() == {}


def test_what_other_launches_and_annexes_have_stays(world: World) -> None:
    others = other_launch(world.site, "grid") + other_launch(world.site, "other")
    world.on["join"] = once(Stop("SIGINT"))
    with pytest.raises(Stop):
        launch_annex(world.site, request())
    assert living(world.site) + living(world.site, "other") == others
    ended = {
        i for sent in world.sent("terminate_instances") for i in sent["InstanceIds"]
    }
    assert ended.isdisjoint(others)
    # The annex has nodes yet, of a launch from elsewhere: its key may open them.
    assert annexes.folder(world.site.state, "grid").key.exists()


@pytest.mark.parametrize(
    "second", ["terminate_instances", "list_schedules", "delete_parameter"]
)
def test_a_second_stop_ends_the_cleaning_and_says_the_command(
    world: World, second: str
) -> None:
    world.on["verify"] = once(Stop("SIGINT"))
    world.on[second] = once(Stop("SIGTERM"))
    with pytest.raises(Interrupted) as caught:
        launch_annex(world.site, request())
    error = caught.value
    assert "stopped by SIGTERM before all was ended" in error.what
    assert "2023-11-14 22:19:40 UTC" in error.what  # the end of the probation
    assert error.mend == f"to end it now: invoke reap --region {REGION} --yes"
    [entry] = world.site.journal.entries()  # by which reap takes it at once
    assert entry.launch in error.where
    assert entry.owner == journal.this_process()


def test_cleaning_that_fails_shows_both_errors_and_keeps_the_journal(
    world: World,
) -> None:
    world.on["verify"] = once(refused("AuthFailure"))
    world.on["terminate_instances"] = once(refused("RequestLimitExceeded"))
    with pytest.raises(AwsError, match="AuthFailure"):
        launch_annex(world.site, request())
    assert "RequestLimitExceeded" in world.console.text
    assert f"invoke reap --region {REGION} --yes" in world.console.text
    assert len(world.site.journal.entries()) == 1


def test_an_instance_that_does_not_end_is_waited_for_and_then_told(
    world: World,
) -> None:
    ready = launch_plan.prepare(world.site, request())
    run = launch_run.begin(world.site, ready)
    with undone_on_error(run):
        launch_run.provide(run)
        launch_start.start(run, 2)
    send = world._call
    world._call = lambda region, method, **arguments: (
        {} if method == "terminate_instances" else send(region, method, **arguments)
    )
    before = world.site.clock.monotonic()
    with pytest.raises(AnnexkitError):
        launch_undo.end_nodes(run, run.ids)
    waited = world.site.clock.monotonic() - before
    assert waited >= launch_undo.END_TIMEOUT
    assert world.left()["schedules"] == 2  # the layer that is left stays armed


@pytest.mark.parametrize("error", [Stop("SIGINT"), refused()])
def test_without_a_secret_nothing_begins(world: World, error: BaseException) -> None:
    world.on["new_secret"] = once(error)
    with pytest.raises(type(error)):
        launch_annex(world.site, request())
    assert world.changed() == ["new_secret"]
    assert world.left() == {}
    assert not annexes.folder(world.site.state, "grid").path.exists()


def test_what_goes_well_is_not_undone(world: World) -> None:
    run = launch_run.begin(world.site, launch_plan.prepare(world.site, request()))
    with undone_on_error(run):
        launch_run.provide(run)
    assert world.left() == {"secrets": 1, "journal": 1}
    launch_undo.undo(run)
    assert world.left() == {}

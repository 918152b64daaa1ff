"""What becomes of launched nodes: leased, or explained and ended."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from annexkit import tags
from annexkit.errors import AnnexkitError, FindingsError
from annexkit.flows import launch_follow, launch_plan, launch_run, launch_start
from annexkit.flows.launch_follow import Followed, follow
from annexkit.flows.launch_run import Run
from annexkit.pool.target import PoolError
from annexkit.verify import funnel
from tests.unit.flows.annex import ends, living
from tests.unit.flows.launching import World, request
from tests.unit.helpers import REGION

NOW = 1_700_000_000
DOWN = PoolError("the collector does not answer", mend="start it")


def started(world: World, count: int = 2) -> Run:
    ready = launch_plan.prepare(world.site, request(count=str(count)))
    run = launch_run.begin(world.site, ready)
    launch_run.provide(run)
    launch_start.start(run, count)
    return run


def followed(world: World, count: int = 2) -> tuple[Run, Followed]:
    run = started(world, count)
    return run, follow(run, run.ids)


def numbers(world: World, ids: Sequence[str]) -> list[int]:
    return sorted(world.numbers[one] for one in ids)


def test_good_nodes_get_the_lease_with_tag_and_schedule(world: World) -> None:
    run, found = followed(world)
    assert len(found.good) == 2
    assert found.bad == []
    assert found.unknown is None
    assert set(ends(world.site).values()) == {NOW + 7200}
    at = {sent["ScheduleExpression"] for sent in world.sent("update_schedule")}
    assert at == {"at(2023-11-15T00:15:20)"}  # two minutes after the lease
    assert "leased until 2023-11-15 00:13:20 UTC" in world.console.text
    assert run.failures == {}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("it swaps", "check 'swap' failed: it swaps"),
        ("dead", "it hangs"),
        ("late", "not in the pool after 100 s"),
        ("stranger", "it is bob"),
    ],
)
def test_a_bad_node_is_said_ended_and_counted_and_no_other(
    world: World, wrong: str, says: str
) -> None:
    world.bad = {1: wrong}
    run, found = followed(world, 3)
    assert numbers(world, living(world.site)) == [0, 2]
    assert numbers(world, [one.node.id for one in found.good]) == [0, 2]
    [bad] = found.bad
    assert says in str(bad.problem)
    assert says in world.console.text
    assert world.left()["schedules"] == 2
    assert sum(run.failures.values()) == 1


def test_a_bad_node_keeps_its_probation_until_it_is_ended(world: World) -> None:
    world.bad = {0: "late"}
    tagged: list[list[str]] = []
    world.on["create_tags"] = lambda **sent: tagged.append(sent["Resources"])
    followed(world)
    assert [numbers(world, ids) for ids in tagged] == [[1]]


def test_the_good_are_leased_before_the_bad_are_looked_into(world: World) -> None:
    """Looking takes time, and the good ones are on probation until then."""
    world.bad = {0: "late"}
    followed(world)
    order = world.names("create_tags", "get_console_output", "terminate_instances")
    assert order == ["create_tags", "get_console_output", "terminate_instances"]


def test_what_ssh_refused_is_not_waited_for_in_the_pool(world: World) -> None:
    world.bad = {0: "it swaps", 1: "dead", 2: "far"}
    followed(world, 4)
    [asked] = world.sent("join")
    assert numbers(world, asked["ids"]) == [2, 3]


def test_where_ssh_cannot_reach_the_pool_alone_decides(world: World) -> None:
    world.all_far = True
    _, found = followed(world)
    assert [one.ssh for one in found.good] == ["not checked", "not checked"]
    assert found.bad == []


def test_where_the_pool_cannot_be_asked_ssh_alone_decides(world: World) -> None:
    world.pool_down = DOWN
    world.bad = {0: "it swaps"}
    _, found = followed(world)
    assert found.unknown is DOWN
    assert numbers(world, [one.node.id for one in found.good]) == [1]
    assert [one.joined for one in found.good] == [None]


def test_where_neither_can_be_asked_nothing_is_good(world: World) -> None:
    world.pool_down = DOWN
    world.all_far = True
    _, found = followed(world)
    assert found.good == []
    assert living(world.site) == []
    assert {str(one.problem) for one in found.bad} == {
        f"{one.node.id}: neither SSH nor the pool can be asked from here -- start it"
        for one in found.bad
    }


def test_a_pool_that_nobody_had_to_ask_is_not_unknown(world: World) -> None:
    world.pool_down = DOWN
    world.bad = {0: "it swaps", 1: "dead"}
    _, found = followed(world)
    assert found.unknown is None


def test_only_the_first_few_bad_nodes_are_looked_into(world: World) -> None:
    world.bad = dict.fromkeys(range(5), "late")
    _, found = followed(world, 6)
    looked = {sent["InstanceId"] for sent in world.sent("get_console_output")}
    assert len(looked) == launch_follow.EXPLAINED
    assert len(found.bad) == 5
    assert numbers(world, living(world.site)) == [5]


def test_the_broken_step_is_named_and_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = funnel.Step("secret", funnel.State.BROKEN, "denied", "mend the role")
    monkeypatch.setattr(funnel, "first_broken", lambda _: step)
    world.bad = {0: "late"}
    run, found = followed(world)
    assert run.failures == {"secret": 1}
    assert found.bad[0].broken == "secret"
    assert "the first broken step: secret: denied -- mend the role" in (
        world.console.text
    )


def test_times_count_from_the_begin_of_the_launch(world: World) -> None:
    run = started(world)
    world.site.clock.sleep(20)
    found = follow(run, run.ids)
    assert {(o.seconds["checks"], o.seconds["joined"]) for o in found.good} == {
        (25.0, 27.0)
    }


def test_an_outcome_is_plain_data(world: World) -> None:
    world.bad = {1: "it swaps"}
    _, found = followed(world)
    good, bad = (json.loads(json.dumps(o.as_json())) for o in found.outcomes)
    assert (good["good"], good["joined"], good["problem"]) == (True, True, "")
    assert (good["identity"], good["method"]) == ("annex@cm.example.org", "IDTOKENS")
    assert (good["type"], good["market"]) == ("m7i.large", "on-demand")
    assert (bad["good"], bad["joined"], bad["ssh"]) == (False, False, "ok")
    assert "it swaps" in bad["problem"]


def test_problems_are_errors_for_people(world: World) -> None:
    world.bad = {0: "it swaps", 1: "late"}
    _, found = followed(world, 3)
    first, second = (one.problem for one in found.bad)
    assert isinstance(first, FindingsError)
    assert isinstance(second, AnnexkitError)
    assert second.mend == f"invoke why {found.bad[1].node.id} --region {REGION}"


def test_a_node_that_ended_meanwhile_is_described_all_the_same(world: World) -> None:
    run = started(world)
    gone, kept = run.ids
    world.site.cloud.call(REGION, "terminate_instances", InstanceIds=[gone])
    world.bad = {world.numbers[gone]: "dead"}
    found = follow(run, run.ids)
    assert {one.node.id: one.node.state for one in found.bad} == {gone: "terminated"}
    assert living(world.site) == [kept]
    assert ends(world.site) == {kept: NOW + 7200}
    assert tags.EXPIRES in found.good[0].node.tags


class TestOpening:
    def test_nodes_that_take_jobs_are_said(self, world: World) -> None:
        followed(world)
        assert "the nodes take jobs" in world.console.text

    def test_those_that_do_not_yet_are_said_and_stay_good(self, world: World) -> None:
        world.bad = {0: "slow"}
        _, found = followed(world)
        assert len(found.good) == 2
        assert "1 nodes take no jobs yet: i-" in world.console.text

    def test_a_pool_that_cannot_be_asked_is_not_waited_for(self, world: World) -> None:
        world.pool_down = DOWN
        run = started(world)
        before = world.site.clock.time()
        follow(run, run.ids)
        assert world.site.clock.time() == before
        assert "take" not in world.console.text

"""``invoke launch`` as a whole: exit codes, what is left, what is said."""

from __future__ import annotations

import json

import pytest

from annexkit import annexes, tags
from annexkit.errors import Exit, FindingsError, Level
from annexkit.flows.launch_annex import launch_annex
from annexkit.flows.launch_run import LaunchError
from annexkit.pool.target import PoolError
from tests.unit.flows.annex import ends, living
from tests.unit.flows.launching import TOKEN, World, request, settings
from tests.unit.helpers import BUILD, REGION

NOW = 1_700_000_000
PROBATION = 100 + 100 + 180  # boot, join, and the launcher's own margin
DOWN = PoolError("the collector does not answer", mend="start it")


def test_all_is_well_and_only_the_leased_nodes_remain(world: World) -> None:
    assert launch_annex(world.site, request()) is Exit.DONE
    assert world.left() == {"instances": 2, "schedules": 2}
    assert set(ends(world.site).values()) == {NOW + 7200}
    record = annexes.folder(world.site.state, "grid").read()
    assert record is not None
    [launched] = record.launches
    assert sorted(launched.ids) == living(world.site)
    assert launched.expires == NOW + 7200


def test_the_calls_come_in_the_order_in_which_a_crash_loses_nothing(
    world: World,
) -> None:
    launch_annex(world.site, request())
    made = world.names(
        "create_role",
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
    assert made == [
        *("create_role", "create_role", "create_security_group", "put_parameter"),
        *("run_instances", "create_schedule", "create_schedule"),
        *("verify", "join", "update_schedule", "update_schedule", "create_tags"),
        "delete_parameter",
    ]


def test_the_journal_knows_of_the_launch_before_anything_is_made(
    world: World,
) -> None:
    known: dict[str, list[tuple[str, str]]] = {}

    def look(method: str) -> None:
        entries = world.site.journal.entries()
        known[method] = [(e.kind, e.token) for e in entries]

    tokens: list[str] = []
    world.on["create_role"] = lambda **_: look("create_role")
    world.on["put_parameter"] = lambda **_: look("put_parameter")

    def running(**sent: str) -> None:
        tokens.append(sent["ClientToken"])
        look("run_instances")

    world.on["run_instances"] = running
    launch_annex(world.site, request())
    assert known["create_role"] == known["put_parameter"] == [("launch", "")]
    assert known["run_instances"] == [("launch", tokens[0])]


def test_a_plan_with_errors_makes_nothing(world: World) -> None:
    with pytest.raises(FindingsError, match="ceiling"):
        launch_annex(world.site, request(max_hourly_cost="0.15"))
    assert world.changed() == []
    assert world.left() == {}
    assert not annexes.folder(world.site.state, "grid").path.exists()
    assert "m7i.large" in str(world.console.tables)  # the plan is shown all the same


@pytest.mark.parametrize("as_json", [False, True])
def test_a_dry_run_changes_nothing_and_says_what_would_be_made(
    world: World, as_json: bool
) -> None:
    world.console.as_json = as_json
    assert launch_annex(world.site, request(dry_run=True)) is Exit.DONE
    assert world.changed() == []
    assert world.left() == {}
    assert not annexes.folder(world.site.state, "grid").path.exists()
    assert "EC2 was not asked" in world.console.text
    if as_json:
        [plan] = world.console.results
        assert json.loads(json.dumps(plan))["count"] == 2
        assert plan["probation_ends"] == NOW + PROBATION
        assert "security group annexkit-annex" in str(plan["creates"])


def test_a_dry_run_with_the_set_in_place_asks_ec2(world: World) -> None:
    launch_annex(world.site, request())
    world.calls.clear()
    assert launch_annex(world.site, request(dry_run=True)) is Exit.DONE
    [sent] = world.sent("run_instances")
    assert sent["DryRun"] is True
    assert world.changed() == ["run_instances"]
    assert world.left() == {"instances": 2, "schedules": 2}
    assert "EC2 would take the request (m7i.large" in world.console.text


def test_fewer_than_wanted_is_partly_done(world: World) -> None:
    world.room = 1
    assert launch_annex(world.site, request(count="3")) is Exit.PARTLY
    assert world.left() == {"instances": 1, "schedules": 1}
    assert "1 of 3 nodes" in world.console.text
    assert set(ends(world.site).values()) == {NOW + 7200}


def test_no_capacity_at_all_fails_and_leaves_nothing(world: World) -> None:
    world.room = 0
    with pytest.raises(LaunchError, match="InsufficientInstanceCapacity") as caught:
        launch_annex(world.site, request())
    assert caught.value.exit_code is Exit.FAILED
    assert "launch.instance_types" in caught.value.mend
    assert world.left() == {}
    assert not annexes.folder(world.site.state, "grid").path.exists()


def test_no_good_node_fails_and_leaves_nothing(world: World) -> None:
    world.bad = {0: "it swaps", 1: "late"}
    with pytest.raises(LaunchError, match="no node of 2"):
        launch_annex(world.site, request())
    assert world.left() == {}
    assert living(world.site) == []


def test_a_bad_node_is_ended_and_the_good_one_stays(world: World) -> None:
    world.bad = {1: "it swaps"}
    assert launch_annex(world.site, request()) is Exit.PARTLY
    assert world.left() == {"instances": 1, "schedules": 1}
    [good] = living(world.site)
    assert world.numbers[good] == 0
    assert "check 'swap' failed: it swaps" in world.console.text


def test_a_pool_that_cannot_be_asked_is_partly_done(world: World) -> None:
    world.pool_down = DOWN
    assert launch_annex(world.site, request()) is Exit.PARTLY
    assert world.left() == {"instances": 2, "schedules": 2}
    said = [f for f in world.console.findings if "was not asked" in f.what]
    assert said
    assert all((f.level, f.mend) == (Level.WARNING, "start it") for f in said)


def test_nodes_that_ssh_cannot_reach_are_partly_done(world: World) -> None:
    world.bad = {1: "far"}
    assert launch_annex(world.site, request()) is Exit.PARTLY
    assert world.left() == {"instances": 2, "schedules": 2}


def test_neither_ssh_nor_the_pool_is_no_node_at_all(world: World) -> None:
    world.all_far = True
    world.pool_down = DOWN
    with pytest.raises(LaunchError):
        launch_annex(world.site, request())
    assert world.left() == {}
    assert "neither SSH nor the pool" in world.console.text


class TestCanary:
    def test_one_node_goes_first_and_then_the_rest(self, world: World) -> None:
        assert launch_annex(world.site, request(count="4", canary=True)) is Exit.DONE
        asked = [sent["MaxCount"] for sent in world.sent("run_instances")]
        assert asked == [1, 3]
        assert [len(ids) for ids in world.verified] == [1, 3]
        assert world.names("run_instances", "verify", "join") == (
            ["run_instances", "verify", "join"] * 2
        )
        assert world.left() == {"instances": 4, "schedules": 4}

    def test_a_bad_one_stops_the_rest(self, world: World) -> None:
        world.bad = {0: "it swaps"}
        with pytest.raises(LaunchError):
            launch_annex(world.site, request(count="4", canary=True))
        assert [sent["MaxCount"] for sent in world.sent("run_instances")] == [1]
        assert world.left() == {}

    def test_one_that_does_not_come_stops_the_rest(self, world: World) -> None:
        world.room = 0
        with pytest.raises(LaunchError):
            launch_annex(world.site, request(count="4", canary=True))
        assert {sent["MaxCount"] for sent in world.sent("run_instances")} == {1}

    def test_a_bad_rest_leaves_the_canary(self, world: World) -> None:
        world.bad = {1: "late", 2: "late"}
        code = launch_annex(world.site, request(count="3", canary=True))
        assert code is Exit.PARTLY
        assert [world.numbers[one] for one in living(world.site)] == [0]

    def test_of_one_node_there_is_no_rest(self, world: World) -> None:
        assert launch_annex(world.site, request(count="1", canary=True)) is Exit.DONE
        assert len(world.sent("run_instances")) == 1


class TestASecondLaunch:
    def test_it_adds_to_the_annex_and_its_record(self, world: World) -> None:
        launch_annex(world.site, request())
        first = living(world.site)
        world.site.clock.sleep(600)
        assert launch_annex(world.site, request(count="1")) is Exit.DONE
        record = annexes.folder(world.site.state, "grid").read()
        assert record is not None
        assert [len(one.ids) for one in record.launches] == [2, 1]
        assert sorted(record.launches[0].ids) == first
        found = ends(world.site)
        assert {found[one] for one in first} == {NOW + 7200}
        assert max(e for e in found.values() if e) == NOW + 7800
        assert world.left() == {"instances": 3, "schedules": 3}

    def test_it_makes_no_second_key_and_nothing_shared(self, world: World) -> None:
        launch_annex(world.site, request())
        key = annexes.folder(world.site.state, "grid").key.read_text()
        world.calls.clear()
        launch_annex(world.site, request())
        assert annexes.folder(world.site.state, "grid").key.read_text() == key
        made = ("create_role", "create_security_group", "create_schedule_group")
        assert world.names(*made) == []

    def test_one_that_fails_takes_nothing_of_the_first(self, world: World) -> None:
        launch_annex(world.site, request())
        first = living(world.site)
        world.bad = {2: "late", 3: "late"}
        with pytest.raises(LaunchError):
            launch_annex(world.site, request())
        assert living(world.site) == first
        assert world.left() == {"instances": 2, "schedules": 2}
        folder = annexes.folder(world.site.state, "grid")
        record = folder.read()
        assert record is not None
        assert [sorted(one.ids) for one in record.launches] == [first]
        assert folder.key.exists()


def test_a_node_that_does_not_say_its_lease_in_time_is_good_all_the_same(
    world: World,
) -> None:
    world.bad = {0: "slow"}
    before = world.site.clock.time()
    assert launch_annex(world.site, request()) is Exit.DONE
    assert "1 nodes take no jobs yet" in world.console.text
    assert 30 <= world.site.clock.time() - before < 40
    assert world.left() == {"instances": 2, "schedules": 2}


class TestReport:
    def test_the_json_has_what_a_script_wants(self, world: World) -> None:
        world.console.as_json = True
        world.bad = {2: "it swaps"}
        launch_annex(world.site, request(count="3"))
        [said] = world.console.tables
        assert json.loads(json.dumps(said)) == said
        wanted = {
            "annex": "grid",
            "region": REGION,
            "image": "debian13",
            "build": BUILD,
            "ami": world.ami,
            "wanted": 3,
            "good": 2,
            "by_market": {"on-demand": 2},
            "hourly_cost": 0.2,
            "lease_ends": NOW + 7200,
            "exit": 3,
        }
        assert {name: said[name] for name in wanted} == wanted
        assert len(said["layers"]) == 3
        assert sum(said["failures"].values()) == 1
        good = [node for node in said["nodes"] if node["good"]]
        assert {node["identity"] for node in good} == {"annex@cm.example.org"}
        assert said["seconds"] == {"checks": 5.0, "joined": 7.0}

    def test_a_price_that_is_not_known_is_no_price(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings(world.site, {"hourly_price": ""})
        world.console.as_json = True
        launch_annex(world.site, request())
        [said] = world.console.tables
        assert said["hourly_cost"] is None
        assert "cost not known an hour" in world.console.text

    def test_the_secret_is_nowhere(self, world: World) -> None:
        launch_annex(world.site, request())
        [stored] = world.sent("put_parameter")
        assert stored["Value"] == TOKEN
        assert stored["Type"] == "SecureString"
        assert TOKEN not in world.console.text + str(world.console.tables)
        others = [c for c in world.calls if c[0] != "put_parameter"]
        assert TOKEN not in str(others)
        for path in world.site.state.rglob("*"):
            assert not path.is_file() or TOKEN not in path.read_text()


def test_the_nodes_carry_the_tags_by_which_they_are_found(world: World) -> None:
    launch_annex(world.site, request())
    [sent] = world.sent("run_instances")
    by_kind = {
        said["ResourceType"]: {tag["Key"]: tag["Value"] for tag in said["Tags"]}
        for said in sent["TagSpecifications"]
    }
    assert set(by_kind) == {"instance", "volume", "network-interface"}
    for found in by_kind.values():
        assert found[tags.ANNEX] == "grid"
        assert found[tags.OWNER] == "alice"
        assert found[tags.FROM_BUILD] == BUILD
        assert found[tags.EXPIRES] == str(NOW + PROBATION)
        assert len(found[tags.LAUNCH]) == 12
        assert "annexkit:build" not in found

"""The request for nodes: what it asks, what it says, what is written down for it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from annexkit import ssh, tags
from annexkit.aws import AwsError
from annexkit.flows import launch_plan, launch_run, launch_start
from annexkit.flows.launch_run import LaunchError, Run
from annexkit.launch import schedule
from annexkit.stopping import Stop
from tests.unit.flows.launching import TOKEN, World, request, settings
from tests.unit.helpers import REGION

NOW = 1_700_000_000
PROBATION = 100 + 100 + 180


def provided(world: World, **flags: str) -> Run:
    ready = launch_plan.prepare(world.site, request(**flags))
    run = launch_run.begin(world.site, ready)
    launch_run.provide(run)
    return run


def asked(run: Run, count: int = 1) -> dict[str, Any]:
    """Return the parameters of a request at the first target."""
    target = run.ready.plan.targets[0]
    return launch_start.request(run, target, count, "grid_1").parameters()


def told(run: Run) -> dict[str, Any]:
    """Return what the user data tells the contract on a node."""
    config = yaml.safe_load(launch_start.user_data(run))
    [content] = [
        file["content"]
        for file in config["write_files"]
        if file["path"] == "/etc/annexkit/annex.json"
    ]
    found: dict[str, Any] = json.loads(content)
    return found


class TestUserData:
    def test_it_says_what_a_node_needs_to_join(self, world: World) -> None:
        run = provided(world)
        found = told(run)
        assert found["annex"] == "grid"
        assert found["mode"] == "pool"
        assert found["lease_expires"] == NOW + PROBATION
        assert found["probation"] is True
        assert found["pool"]["collector"] == "cm.example.org:9618"
        assert found["pool"]["users"] == ["alice"]
        assert found["secret"] == {"ssm": f"/annexkit/grid/{run.id}", "region": REGION}

    def test_no_secret_is_in_it_and_it_fits(self, world: World) -> None:
        text = launch_start.user_data(provided(world))
        assert TOKEN not in text
        assert "PRIVATE" not in text
        assert len(text.encode()) <= 16 * 1024
        assert text.startswith("#cloud-config")

    def test_the_largest_that_settings_allow_fits(self, world: World) -> None:
        long = "n" * 27
        settings(
            world.site,
            {
                "annex_name": long,
                "owner": "o" * 64,
                "users": [f"{n}".rjust(64, "u") for n in range(50)],
            },
            {"collector": f"{'c' * 60}.{'d' * 60}.example.org:9618"},
        )
        run = provided(world, annex_name=long)
        assert len(launch_start.user_data(run).encode()) <= 16 * 1024

    def test_it_is_the_same_for_every_node(self, world: World) -> None:
        run = provided(world)
        before = launch_start.user_data(run)
        world.site.clock.sleep(50)
        assert launch_start.user_data(run) == before

    def test_the_key_lets_us_in(self, world: World) -> None:
        run = provided(world)
        config = yaml.safe_load(launch_start.user_data(run))
        assert config["ssh_authorized_keys"] == [run.key.public_line]

    def test_a_floor_ends_the_node_below_the_contract(self, world: World) -> None:
        text = launch_start.user_data(provided(world))
        assert str(PROBATION + launch_start.DEADLINE_AFTER) in text

    def test_the_owner_among_the_users_is_named_and_no_name_twice(
        self, world: World
    ) -> None:
        settings(world.site, {"users": "owner,bob,alice"})
        assert told(provided(world))["pool"]["users"] == ["alice", "bob"]

    @pytest.mark.parametrize(("lease", "drain"), [("10h", 600), ("20m", 300)])
    def test_a_node_does_not_drain_for_most_of_its_life(
        self, world: World, lease: str, drain: int
    ) -> None:
        assert told(provided(world, lease=lease))["drain_seconds"] == drain


class TestRequest:
    def test_every_node_ends_itself_and_speaks_imdsv2_only(self, world: World) -> None:
        found = asked(provided(world))
        assert found["InstanceInitiatedShutdownBehavior"] == "terminate"
        assert found["MetadataOptions"]["HttpTokens"] == "required"
        assert found["IamInstanceProfile"] == {"Name": "annexkit-node"}
        assert "KeyName" not in found
        assert "InstanceMarketOptions" not in found
        assert (found["MinCount"], found["MaxCount"]) == (1, 1)
        assert found["ClientToken"] == "grid_1"

    def test_spot_nodes_are_bought_once_and_end_when_taken(self, world: World) -> None:
        found = asked(provided(world, market="spot"))["InstanceMarketOptions"]
        assert found["MarketType"] == "spot"
        assert found["SpotOptions"]["SpotInstanceType"] == "one-time"
        assert found["SpotOptions"]["InstanceInterruptionBehavior"] == "terminate"

    def test_a_configured_pair_is_named(
        self, world: World, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        mine = tmp_path_factory.mktemp("keys") / "mine"
        ssh.new_key(mine)
        world.site.cloud.call(REGION, "create_key_pair", KeyName="alice")
        settings(world.site, {"key_name": "alice", "key_file": str(mine)})
        assert asked(provided(world))["KeyName"] == "alice"

    @pytest.mark.parametrize(
        ("interface", "public"), [("public_ip", True), ("private_ip", False)]
    )
    def test_the_address_is_the_one_that_ssh_uses(
        self, world: World, interface: str, public: bool
    ) -> None:
        changed = world.site.settings.ssh.model_copy(update={"interface": interface})
        world.site.settings = world.site.settings.model_copy(update={"ssh": changed})
        [card] = asked(provided(world))["NetworkInterfaces"]
        assert card["AssociatePublicIpAddress"] is public

    def test_nothing_is_asked_before_the_set_is_there(self, world: World) -> None:
        ready = launch_plan.prepare(world.site, request())
        run = launch_run.begin(world.site, ready)
        with pytest.raises(LaunchError, match="nothing was provided"):
            asked(run)


class TestStart:
    def test_the_ids_are_recorded_and_each_has_its_schedule(self, world: World) -> None:
        run = provided(world)
        wave = launch_start.start(run, 2)
        assert sorted(run.ids) == sorted(world.numbers)
        assert (wave.missing, wave.findings()) == (0, [])
        record = run.folder.read()
        assert record is not None
        assert record.launches[-1].ids == run.ids
        names = schedule.names(world.site.cloud, REGION, f"{run.id}-")
        assert sorted(names) == sorted(f"{run.id}-{one}" for one in run.ids)

    def test_a_schedule_ends_its_node_soon_after_the_probation(
        self, world: World
    ) -> None:
        run = provided(world)
        launch_start.start(run, 1)
        [sent] = world.sent("create_schedule")
        # The end of the probation, and two minutes for the node's own timer.
        assert sent["ScheduleExpression"] == "at(2023-11-14T22:21:40)"
        assert sent["ActionAfterCompletion"] == "DELETE"
        assert json.loads(sent["Target"]["Input"]) == {"InstanceIds": run.ids}

    def test_without_the_scheduler_there_is_none(self, world: World) -> None:
        settings(world.site, {"scheduler": False})
        launch_start.start(provided(world), 2)
        assert world.sent("create_schedule") == []
        assert world.left()["instances"] == 2

    def test_the_token_is_on_disk_ahead_of_its_call(self, world: World) -> None:
        run = provided(world)
        seen: list[tuple[str, str]] = []

        def look(**sent: Any) -> None:
            [entry] = world.site.journal.entries()
            seen.append((entry.token, sent["ClientToken"]))

        world.on["run_instances"] = look
        launch_start.start(run, 2)
        [(written, sent)] = seen
        assert written == sent
        assert sent.startswith("grid_")

    def test_a_zone_without_room_is_left_for_the_next(self, world: World) -> None:
        run = provided(world)
        zones: list[str] = []

        def full_at_first(**sent: Any) -> None:
            zones.append(sent["NetworkInterfaces"][0]["SubnetId"])
            if len(zones) == 1:
                code = "InsufficientInstanceCapacity"
                raise AwsError(
                    "no", code=code, action="RunInstances", region=REGION, refused=True
                )

        world.on["run_instances"] = full_at_first
        wave = launch_start.start(run, 2)
        assert (wave.missing, len(set(zones))) == (0, 2)
        assert run.failures == {"InsufficientInstanceCapacity": 1}
        record = run.folder.read()
        assert record is not None
        assert record.launches[-1].failures == dict(run.failures)
        [target] = [t for t in run.ready.plan.targets if t.subnet == zones[0]]
        assert run.ready.capacity.closed(REGION, target) is not None

    def test_what_a_stop_interrupts_is_known_to_the_run(self, world: World) -> None:
        run = provided(world)

        def stop(**_: Any) -> None:
            raise Stop("SIGINT")

        world.on["create_schedule"] = stop
        with pytest.raises(Stop):
            launch_start.start(run, 2)
        assert sorted(run.ids) == sorted(world.numbers)
        [wave] = run.waves
        assert [len(batch.ids) for batch in wave.batches] == [2]

    def test_nodes_begin_on_probation(self, world: World) -> None:
        run = provided(world)
        assert run.tags[tags.EXPIRES] == str(NOW + PROBATION)
        assert run.tags[tags.LAUNCH] == run.id

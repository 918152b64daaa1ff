"""What a launch writes down, and when; what it makes and takes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from annexkit import annexes, journal, ssh
from annexkit.annexes import LaunchRecord
from annexkit.errors import AnnexkitError
from annexkit.files import FileError
from annexkit.flows import launch_plan, launch_run
from annexkit.flows.launch_run import LaunchError, Run
from tests.unit.flows.launching import TOKEN, World, request, settings
from tests.unit.helpers import ACCOUNT, BUILD, REGION

NOW = 1_700_000_000
PROBATION = 100 + 100 + 180


def begun(world: World, **flags: str) -> Run:
    return launch_run.begin(
        world.site, launch_plan.prepare(world.site, request(**flags))
    )


def recorded(world: World) -> LaunchRecord:
    record = annexes.folder(world.site.state, "grid").read()
    assert record is not None
    return record.launches[-1]


class TestBegin:
    def test_the_journal_says_whose_it_is_and_until_when(self, world: World) -> None:
        run = begun(world)
        [entry] = world.site.journal.entries()
        assert entry.kind == "launch"
        assert (entry.launch, entry.annex, entry.region) == (run.id, "grid", REGION)
        assert (entry.account, entry.endpoint) == (ACCOUNT, "aws")
        assert entry.deadline == NOW + PROBATION
        assert entry.owner == journal.this_process()
        assert entry.build == ""  # it is no bake's: reap must not take it for one
        assert len(run.id) == 12
        int(run.id, 16)

    def test_nothing_is_made_in_aws(self, world: World) -> None:
        begun(world)
        assert world.changed() == ["new_secret"]

    def test_the_record_and_the_key_are_there(self, world: World) -> None:
        run = begun(world)
        found = recorded(world)
        assert (found.id, found.wanted, found.build) == (run.id, 2, BUILD)
        assert (found.ami, found.ids) == (world.ami, [])
        assert found.price == {"m7i.large/on-demand": 0.1}
        assert run.folder.key.stat().st_mode & 0o777 == 0o400

    def test_the_time_that_a_person_looked_at_the_plan_is_added(
        self, world: World
    ) -> None:
        ready = launch_plan.prepare(world.site, request())
        world.site.clock.sleep(1000)
        run = launch_run.begin(world.site, ready)
        assert run.began == NOW + 1000
        assert run.lease_ends == NOW + 1000 + 7200
        assert run.probation_ends == NOW + 1000 + PROBATION

    def test_a_disk_that_refuses_stops_it_before_any_call(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ready = launch_plan.prepare(world.site, request())

        def full(*_: object, **__: object) -> None:
            raise FileError("no space left", where="disk", mend="df -h")

        monkeypatch.setattr(journal, "write_beside", full)
        with pytest.raises(FileError):
            launch_run.begin(world.site, ready)
        assert world.changed() == ["new_secret"]

    def test_two_launches_never_share_an_id(self, world: World) -> None:
        assert begun(world).id != begun(world).id
        assert len(world.site.journal.entries()) == 2


class TestSecret:
    def test_it_outlives_the_lease_by_the_grace(self, world: World) -> None:
        settings(world.site, pool={"token_grace": "10m"})
        begun(world, lease="3h")
        assert world.lifetimes == [3 * 3600 + 600]
        assert recorded(world).token_expires == NOW + 3 * 3600 + 600

    def test_it_lies_in_ssm_under_the_launch_and_no_longer_here(
        self, world: World
    ) -> None:
        run = begun(world)
        launch_run.provide(run)
        assert run.credential is None
        [sent] = world.sent("put_parameter")
        assert sent["Name"] == f"/annexkit/grid/{run.id}"
        assert (sent["Type"], sent["Value"]) == ("SecureString", TOKEN)
        tags = {tag["Key"]: tag["Value"] for tag in sent["Tags"]}
        assert tags["annexkit:launch"] == run.id
        assert tags["annexkit:expires"] == str(NOW + PROBATION)
        assert TOKEN not in repr(run) + world.console.text

    def test_it_does_not_show_before_either(self, world: World) -> None:
        run = begun(world)
        assert run.credential is not None
        assert TOKEN not in repr(run)
        assert TOKEN not in run.entry.model_dump_json()

    def test_a_run_that_is_only_imagined_has_none(self, world: World) -> None:
        run = launch_run.imagined(
            world.site, launch_plan.prepare(world.site, request())
        )
        with pytest.raises(LaunchError, match="no secret"):
            launch_run.provide(run)
        assert world.sent("put_parameter") == []


class TestProvide:
    def test_the_set_is_made_once(self, world: World) -> None:
        first = begun(world)
        launch_run.provide(first)
        assert first.needs is not None
        assert first.needs.profile == "annexkit-node"
        assert first.needs.scheduler_role_arn.endswith(":role/annexkit-scheduler")
        world.calls.clear()
        second = begun(world)
        launch_run.provide(second)
        assert second.needs is not None
        assert second.needs.group_id == first.needs.group_id
        assert world.changed() == ["new_secret", "put_parameter"]

    def test_what_is_made_is_said(self, world: World) -> None:
        launch_run.provide(begun(world))
        assert "IAM role annexkit-node and its profile is made" in world.console.text

    def test_without_the_scheduler_nothing_of_it_is_made(self, world: World) -> None:
        settings(world.site, {"scheduler": False})
        run = begun(world)
        launch_run.provide(run)
        assert run.needs is not None
        assert run.needs.scheduler_role_arn == ""
        assert world.sent("create_schedule_group") == []


class TestImagined:
    def test_nothing_is_written_made_or_minted(self, world: World) -> None:
        ready = launch_plan.prepare(world.site, request())
        run = launch_run.imagined(world.site, ready)
        assert world.changed() == []
        assert world.left() == {}
        assert not annexes.folder(world.site.state, "grid").path.exists()
        assert run.needs is not None
        assert run.needs.group_id == ""

    def test_the_set_and_the_key_that_are_there_are_used(self, world: World) -> None:
        real = begun(world)
        launch_run.provide(real)
        ready = launch_plan.prepare(world.site, request())
        run = launch_run.imagined(world.site, ready)
        assert run.needs is not None
        assert real.needs is not None
        assert run.needs.group_id == real.needs.group_id
        assert run.key.public_line == real.key.public_line


class TestRecord:
    def test_writing_it_again_changes_the_launch_and_no_other(
        self, world: World
    ) -> None:
        first = begun(world)
        second = begun(world)
        first.failures["late"] += 1
        launch_run.record(first)
        record = first.folder.read()
        assert record is not None
        assert {one.id: one.failures for one in record.launches} == {
            first.id: {"late": 1},
            second.id: {},
        }

    def test_a_configured_key_is_not_copied(
        self, world: World, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        mine = tmp_path_factory.mktemp("keys") / "mine"
        ssh.new_key(mine)
        world.site.cloud.call(REGION, "create_key_pair", KeyName="alice")
        settings(world.site, {"key_name": "alice", "key_file": str(mine)})
        run = begun(world)
        assert not run.folder.key.exists()
        assert run.key.public_line == ssh.load_key(Path(mine)).public_line


class TestStrike:
    def test_the_secret_goes_before_the_entry(self, world: World) -> None:
        run = begun(world)
        launch_run.provide(run)
        there: list[int] = []
        world.on["delete_parameter"] = lambda **_: there.append(
            len(world.site.journal.entries())
        )
        launch_run.strike(run)
        assert there == [1]
        assert world.left() == {}

    def test_a_secret_that_is_gone_already_is_as_good(self, world: World) -> None:
        run = begun(world)
        launch_run.strike(run)
        assert world.left() == {}
        assert "still holds" not in world.console.text


def test_a_launch_error_is_one_for_people() -> None:
    assert issubclass(LaunchError, AnnexkitError)

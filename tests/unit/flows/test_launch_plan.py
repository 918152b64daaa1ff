"""The plan of a launch from what AWS, the registry, the settings and the pool say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from annexkit import annexes
from annexkit.errors import FindingsError, Level
from annexkit.flows import launch_plan
from annexkit.flows.launch_plan import Ready, prepare
from annexkit.launch.target import Target
from annexkit.pool.target import PoolError
from annexkit.registry import Registry
from tests.unit.flows.launching import World, errors, request, settings
from tests.unit.helpers import BUILD, REGION


def refused(world: World, **flags: Any) -> list[str]:
    """Return where the errors of a plan that cannot be made are."""
    with pytest.raises(FindingsError) as caught:
        prepare(world.site, request(**flags))
    assert all(found.mend for found in caught.value.findings)
    return errors(caught.value.findings)


def wrong(ready: Ready) -> list[str]:
    return errors(ready.plan.findings)


def of_htcondor(world: World, version: str) -> None:
    def put(registry: Registry) -> None:
        builds = registry.images["debian13"].builds
        builds[BUILD] = builds[BUILD].model_copy(update={"htcondor": version})

    world.site.registry.update(put)


def test_a_plan_changes_nothing_and_has_what_the_launch_needs(world: World) -> None:
    ready = prepare(world.site, request())
    assert world.changed() == []
    assert wrong(ready) == []
    assert (ready.region, ready.chosen.ami) == (REGION, world.ami)
    plan = ready.plan
    assert (plan.facts.count, plan.facts.owner) == (2, "alice")
    assert plan.hourly_cost == 0.2
    assert len(plan.facts.layers) == 3
    assert {t.instance_type for t in plan.targets} == {"m7i.large"}
    made = str(plan.facts.creates)
    for part in ("security group", "annexkit-node", "annexkit-scheduler", "SSH key"):
        assert part in made
    assert "SSM" in made
    assert ready.wants.ssh_cidrs == ("192.0.2.0/24",)
    assert ready.wants.pool_cidrs is None
    assert plan.probation_ends < plan.lease_ends


def test_everything_is_wrong_and_all_of_it_is_said_at_once(world: World) -> None:
    """Law 10, as far as each part can be looked at without the others."""
    settings(
        world.site,
        {"key_name": "nobody", "ssh_cidrs": "everywhere"},
        {"collector": "", "identity": "root"},
    )
    world.site.cloud.call(REGION, "deregister_image", ImageId=world.ami)
    found = refused(world, instance_types="m7i.larg")
    assert {
        "annexkit.pool.collector",
        "annexkit.pool.identity",
        "annexkit.launch.key_name",
        "annexkit.launch.key_file",
        "launch.ssh_cidrs",
        REGION,  # the AMI is gone
    } <= set(found)
    assert len(found) >= 7  # and the type is none


def test_without_an_image_the_settings_are_judged_all_the_same(world: World) -> None:
    settings(world.site, {"key_name": "nobody"}, {"collector": ""})
    found = refused(world, channel="previous")
    assert "annexkit.pool.collector" in found
    assert "annexkit.launch.key_file" in found
    assert REGION in found


def test_flags_are_refused_before_anything_is_asked(world: World) -> None:
    with pytest.raises(FindingsError) as caught:
        prepare(world.site, request(count="0", lease="soon"))
    assert errors(caught.value.findings) == ["--count", "--lease"]
    assert world.calls == []


def test_what_only_the_whole_plan_shows_is_in_its_findings(world: World) -> None:
    ready = prepare(world.site, request(lease="60s", max_hourly_cost="0.01", idle="0s"))
    assert set(wrong(ready)) == {"--lease", "--max-hourly-cost", "--idle"}


def test_another_accounts_registry_is_refused_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.site.cloud, "account", "999999999999")
    with pytest.raises(Exception, match="999999999999"):
        prepare(world.site, request())


class TestPool:
    def test_one_that_does_not_answer_is_a_warning(self, world: World) -> None:
        world.pool_down = PoolError("no answer", where="cm", mend="start it")
        ready = prepare(world.site, request())
        assert wrong(ready) == []
        [said] = [f for f in ready.plan.findings if "was not asked" in f.what]
        assert (said.level, said.mend) == (Level.WARNING, "start it")

    @pytest.mark.parametrize(
        ("image", "pool", "count"),
        [("25.14.1-1", "23.9.6", 1), ("23.9.6", "25.14.1", 0), ("", "23.9.6", 0)],
    )
    def test_one_older_than_the_image_would_never_use_the_nodes(
        self, world: World, image: str, pool: str, count: int
    ) -> None:
        of_htcondor(world, image)
        world.pool_version = pool
        assert len(wrong(prepare(world.site, request()))) == count

    def test_without_ccb_the_pools_addresses_are_let_in(self, world: World) -> None:
        settings(world.site, pool={"ccb": False, "cidrs": "198.51.100.0/24"})
        ready = prepare(world.site, request())
        assert ready.wants.pool_cidrs == ("198.51.100.0/24",)
        assert "198.51.100.0/24" in str(ready.plan.facts.creates)

    def test_a_password_that_is_not_there_is_said(
        self, world: World, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        missing = str(tmp_path_factory.mktemp("none") / "pool_password")
        settings(world.site, pool={"method": "password", "password_file": missing})
        found = wrong(prepare(world.site, request()))
        assert len(found) == 1


def test_without_the_scheduler_two_layers_are_left(world: World) -> None:
    settings(world.site, {"scheduler": False})
    ready = prepare(world.site, request())
    assert len(ready.plan.facts.layers) == 2
    assert wrong(ready) == []
    assert "annexkit-scheduler" not in str(ready.plan.facts.creates)
    assert ready.wants.scheduler is False


def test_a_record_that_cannot_be_read_is_an_error(world: World) -> None:
    folder = annexes.folder(world.site.state, "grid")
    folder.path.mkdir(parents=True)
    (folder.path / "record.json").write_text("{")
    [where] = wrong(prepare(world.site, request()))
    assert where == str(folder.path / "record.json")


def test_a_canary_needs_a_rest(world: World) -> None:
    assert prepare(world.site, request(canary=True)).plan.facts.canary
    one = prepare(world.site, request(canary=True, count="1"))
    assert not one.plan.facts.canary


def test_places_without_room_lately_are_known_to_the_plan(world: World) -> None:
    ready = prepare(world.site, request())
    first, *others = ready.plan.targets
    ready.capacity.close(REGION, first, "InsufficientInstanceCapacity")
    again = prepare(world.site, request())
    assert list(again.plan.facts.closed) == [first]
    assert wrong(again) == []
    for target in others:
        ready.capacity.close(REGION, target, "InsufficientInstanceCapacity")
    assert wrong(prepare(world.site, request())) == [REGION]
    world.site.clock.sleep(601)
    assert prepare(world.site, request()).plan.facts.closed == {}


def test_capacity_is_of_one_account_at_one_endpoint(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = launch_plan._capacity(world.site, world.site.settings.launch)
    target = Target("on-demand", "m7i.large", "us-west-2a", "subnet-1")
    here.close(REGION, target, "InsufficientInstanceCapacity")
    monkeypatch.setattr(world.site.cloud, "endpoint", "http://127.0.0.1:1")
    there = launch_plan._capacity(world.site, world.site.settings.launch)
    assert here.path != there.path
    assert there.closed(REGION, replace(target)) is None

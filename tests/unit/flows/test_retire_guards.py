"""What is in use stays: one test for each that can use an AMI."""

from __future__ import annotations

from typing import Any

import pytest

from annexkit import annexes, tags
from annexkit.annexes import LaunchRecord, Record
from annexkit.errors import Exit
from annexkit.flows import retire_guards
from annexkit.flows.retire import carry_out
from annexkit.flows.retire_guards import ask_pool, channels
from annexkit.flows.site import Site
from annexkit.instances import as_tags
from annexkit.pool.collector import About, Collector
from annexkit.pool.target import PoolError
from annexkit.publish.retention import Step
from annexkit.registry.edits import promote, set_candidate
from annexkit.settings import Settings
from tests.unit.flows.conftest import ALIVE, GONE
from tests.unit.flows.retiring import ELSEWHERE, IMAGE, Shelf, named
from tests.unit.helpers import ACCOUNT, REGION, an_entry

OLD = 100.0


def launch(shelf: Shelf, ami: str, **own: str) -> str:
    said = shelf.site.cloud.call(
        REGION,
        "run_instances",
        ImageId=ami,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": as_tags(own)}]
        if own
        else [],
    )
    return str(said["Instances"][0]["InstanceId"])


def test_the_channels_of_any_region_keep_all_amis_of_a_build(shelf: Shelf) -> None:
    for number in (1, 2, 3, 4):
        shelf.add(number, OLD - number, REGION, ELSEWHERE)

    def point(registry: Any) -> None:
        for number in (1, 2):
            promote(registry, IMAGE, named(number), ELSEWHERE)
        set_candidate(registry, IMAGE, named(3), ELSEWHERE)

    shelf.site.registry.update(point)
    assert channels(shelf.registry) == {
        named(1): f"previous in {ELSEWHERE}",
        named(2): f"current in {ELSEWHERE}",
        named(3): f"candidate in {ELSEWHERE}",
    }
    assert shelf.steps() == {
        1: Step.KEEP,
        2: Step.KEEP,
        3: Step.KEEP,
        4: Step.DEPRECATE,
    }
    assert shelf.said()[2][1] == "current and previous always"
    assert shelf.said()[3][1] == "channels"


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_an_instance_of_it_that_runs_or_is_stopped_keeps_it(
    shelf: Shelf, state: str
) -> None:
    ami = shelf.add(1, OLD)
    instance = launch(shelf, ami)
    if state == "stopped":
        shelf.site.cloud.call(REGION, "stop_instances", InstanceIds=[instance])
    step, by, reason = shelf.said()[1]
    assert (step, by) == (Step.KEEP, "instances")
    assert reason == f"{instance} of it is {state}"
    assert shelf.run() is Exit.DONE
    shelf.site.cloud.call(REGION, "terminate_instances", InstanceIds=[instance])
    assert shelf.steps() == {1: Step.DEPRECATE}


def test_an_instance_keeps_it_at_every_stage(shelf: Shelf) -> None:
    ami = shelf.add(1, OLD)
    shelf.run()
    shelf.wait(15)
    instance = launch(shelf, ami)
    assert shelf.said()[1][:2] == (Step.KEEP, "instances")
    shelf.site.cloud.call(REGION, "terminate_instances", InstanceIds=[instance])
    shelf.run()
    shelf.wait(8)
    launch(shelf, ami)
    assert shelf.said()[1][:2] == (Step.KEEP, "instances")


def test_an_instance_that_came_after_the_plan_keeps_it(shelf: Shelf) -> None:
    ami = shelf.add(1, OLD)
    shelf.run()
    shelf.wait(15)
    plan = shelf.plan()
    instance = launch(shelf, ami)
    (done,) = carry_out(shelf.site, plan)
    assert f"{instance} of it is running; nothing was done" in done.error
    assert shelf.described(ami)["State"] == "available"


def test_an_annex_on_it_is_named_with_its_lease(shelf: Shelf) -> None:
    ami = shelf.add(1, OLD)
    own = {tags.LAUNCH: "l1", tags.ANNEX: "grid", tags.EXPIRES: "1700003600"}
    launch(shelf, ami, **own)
    step, by, reason = shelf.said()[1]
    assert (step, by) == (Step.KEEP, "lease")
    assert reason.endswith("annex grid, leased until 2023-11-14 23:13 UTC")


def test_a_lease_in_the_records_of_this_machine_keeps_it(shelf: Shelf) -> None:
    ami = shelf.add(1, OLD)
    record = LaunchRecord(
        id="l1", created=0, image=IMAGE, build=named(1), ami=ami, ssh_user="admin",
        wanted=1, expires=shelf.site.clock.time() + 60, idle=60, method="idtokens",
        price={},
    )  # fmt: skip
    folder = annexes.folder(shelf.site.state, "grid")
    folder.write(
        Record(
            name="grid",
            account=ACCOUNT,
            endpoint="aws",
            region=REGION,
            owner="me",
            launches=[record],
        )
    )
    (shelf.site.state / "annexes" / "odd").mkdir()
    (shelf.site.state / "annexes" / "odd" / "record.json").write_text("{")
    assert shelf.said()[1][:2] == (Step.KEEP, "lease")
    shelf.wait(0.1)
    assert shelf.steps() == {1: Step.DEPRECATE}


def test_what_is_in_the_making_of_it_keeps_it(shelf: Shelf) -> None:
    shelf.add(1, OLD)
    now = shelf.site.clock.time()
    entry = an_entry(
        ALIVE, kind="launch", build=named(1), annex="grid", deadline=now + 60
    )
    shelf.site.journal.write(entry)
    step, by, reason = shelf.said()[1]
    assert (step, by) == (Step.KEEP, "journal")
    assert reason.startswith("annex grid is in the making (pid ")
    shelf.site.journal.write(entry.model_copy(update={"owner": GONE}))
    assert shelf.steps() == {1: Step.DEPRECATE}
    shelf.site.journal.write(entry)
    shelf.wait(0.1)
    assert shelf.steps() == {1: Step.DEPRECATE}


def template(shelf: Shelf, name: str, ami: str) -> None:
    shelf.site.cloud.call(
        REGION,
        "create_launch_template",
        LaunchTemplateName=name,
        LaunchTemplateData={"ImageId": ami},
    )


def newer(shelf: Shelf, name: str, ami: str) -> None:
    shelf.site.cloud.call(
        REGION,
        "create_launch_template_version",
        LaunchTemplateName=name,
        LaunchTemplateData={"ImageId": ami},
    )


def test_the_default_and_the_latest_version_of_a_launch_template_keep_it(
    shelf: Shelf,
) -> None:
    default, between, latest = (shelf.add(n, OLD - n) for n in (1, 2, 3))
    template(shelf, "fleet", default)
    newer(shelf, "fleet", between)
    newer(shelf, "fleet", latest)
    template(shelf, "other", "ami-0123456789abcdef0")
    assert shelf.steps() == {1: Step.KEEP, 2: Step.DEPRECATE, 3: Step.KEEP}
    assert shelf.said()[3][1:] == (
        "launch templates",
        "version 3 of the launch template fleet names it",
    )


def test_an_ssm_parameter_as_the_export_writes_it_keeps_it(shelf: Shelf) -> None:
    ami = shelf.add(1, OLD)
    name = f"/annexkit-images/{IMAGE}/x86_64"
    shelf.site.cloud.call(
        REGION, "put_parameter", service="ssm", Name=name, Value=ami, Type="String"
    )
    assert shelf.said()[1] == (
        Step.KEEP,
        "parameters",
        f"the SSM parameter {name} names it",
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([{"UserId": "111122223333"}], "it is shared with 111122223333"),
        ([{"Group": "all"}], "it is public"),
        (
            [{"UserId": f"11112222333{n}"} for n in range(5)],
            "it is shared with 111122223330, 111122223331, 111122223332 and 2 more",
        ),
    ],
)
def test_what_is_shared_with_others_stays(
    shelf: Shelf, given: list[dict[str, str]], says: str
) -> None:
    ami = shelf.add(1, OLD)
    shelf.site.cloud.call(
        REGION,
        "modify_image_attribute",
        ImageId=ami,
        LaunchPermission={"Add": given},
    )
    step, by, reason = shelf.said()[1]
    assert (step, by) == (Step.KEEP, "sharing")
    assert reason == says


class AnyPool:
    """What the collector answers."""

    def __init__(self, builds: dict[str, int], started: int | None = 1) -> None:
        self.builds, self.started = builds, started

    def install(self, patch: pytest.MonkeyPatch, site: Site) -> None:
        pool = site.settings.pool.model_copy(update={"collector": "cm.example.org"})
        site.settings = site.settings.model_copy(update={"pool": pool})
        patch.setattr(Collector, "builds", lambda _: self.builds)
        patch.setattr(Collector, "about", lambda _: About(started=self.started))


def test_slots_in_the_pool_that_advertise_a_build_keep_it_everywhere(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.add(1, OLD, REGION, ELSEWHERE)
    shelf.add(2, OLD)
    AnyPool({named(1): 3, "": 9}).install(monkeypatch, shelf.site)
    assert shelf.said(no_pool=False)[1] == (
        Step.KEEP,
        "pool",
        "3 slots in the pool advertise it",
    )
    assert shelf.steps(no_pool=False) == {1: Step.KEEP, 2: Step.DEPRECATE}


def test_without_a_pool_nothing_is_disabled_or_deregistered(
    shelf: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    ami = shelf.add(1, OLD)
    assert shelf.run(no_pool=False) is Exit.DONE  # deprecating ends no launch
    shelf.wait(15)
    step, by, reason = shelf.said(no_pool=False)[1]
    assert (step, by) == (Step.WAIT, "pool")
    assert "no pool is named" in reason and "--no-pool" in reason
    capsys.readouterr()
    assert shelf.run(no_pool=False) is Exit.DONE
    assert "warning: pool: no pool is named" in capsys.readouterr().err
    assert shelf.described(ami)["State"] == "available"
    assert shelf.steps(no_pool=True) == {1: Step.DISABLE}


def test_the_settings_may_say_that_there_is_no_pool(shelf: Shelf) -> None:
    shelf.add(1, OLD)
    shelf.run()
    shelf.wait(15)
    retire = Settings.model_validate({"retire": {"no_pool": True}}).retire
    shelf.site.settings = shelf.site.settings.model_copy(update={"retire": retire})
    assert shelf.steps(no_pool=False) == {1: Step.DISABLE}


def test_a_pool_that_does_not_answer_counts_as_not_asked(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    AnyPool({}).install(monkeypatch, shelf.site)

    def silent(_: Collector) -> About:
        raise PoolError("nothing listens", where="cm", mend="start it")

    monkeypatch.setattr(Collector, "about", silent)
    assert ask_pool(shelf.site, no_pool=False).unknown == (
        f"the pool cannot be asked: nothing listens ({retire_guards.NO_POOL})"
    )
    assert ask_pool(shelf.site, no_pool=True).unknown == ""


@pytest.mark.parametrize(("up", "asked"), [(599, False), (601, True)])
def test_a_collector_that_has_just_begun_knows_too_little(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, up: int, asked: bool
) -> None:
    began = int(shelf.site.clock.time()) - up
    AnyPool({}, started=began).install(monkeypatch, shelf.site)
    unknown = ask_pool(shelf.site, no_pool=False).unknown
    assert unknown == (
        "" if asked else f"the pool's collector began {up} s ago; run it later"
    )


def test_a_pool_is_not_asked_when_nothing_is_due(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.add(1, 1)

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("nobody had to be asked")

    monkeypatch.setattr(retire_guards, "ask_pool", asked)
    assert shelf.steps(no_pool=False) == {1: Step.KEEP}

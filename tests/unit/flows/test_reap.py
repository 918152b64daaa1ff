"""``invoke reap`` against moto: the dead's things go, everyone else's stay."""

from __future__ import annotations

import json

import pytest
from botocore.stub import Stubber

from annexkit import tags
from annexkit.aws import Cloud
from annexkit.flows import reap
from annexkit.flows.reap import carry_out, survey
from annexkit.flows.site import Site
from annexkit.instances import as_tags
from annexkit.journal import Journal
from annexkit.registry import RegionBuild, Registry, RegistryError, State
from annexkit.registry.edits import promote, put_build, set_candidate
from annexkit.settings import Settings
from annexkit.sweep.judge import Fate
from tests.unit.flows.conftest import ALIVE, GONE
from tests.unit.helpers import (
    ACCOUNT,
    AMI,
    BUILD,
    NOON,
    REGION,
    FakeClock,
    a_build,
    an_entry,
)

NAME = f"annexkit-debian13-x86_64-{BUILD}"
HOUR = 3600


def labels(site: Site, expires_in: float | None = HOUR) -> dict[str, str]:
    own = {tags.BUILD: BUILD}
    if expires_in is not None:
        own[tags.EXPIRES] = str(int(site.clock.time() + expires_in))
    return own


def volume(site: Site, own: dict[str, str], region: str = REGION) -> str:
    said = site.cloud.call(
        region,
        "create_volume",
        AvailabilityZone=f"{region}a",
        Size=1,
        TagSpecifications=[{"ResourceType": "volume", "Tags": as_tags(own)}],
    )
    return str(said["VolumeId"])


def image(site: Site, own: dict[str, str], name: str = NAME) -> str:
    said = site.cloud.call(
        REGION, "register_image", Name=name, RootDeviceName="/dev/xvda"
    )
    if own:
        site.cloud.call(
            REGION, "create_tags", Resources=[said["ImageId"]], Tags=as_tags(own)
        )
    return str(said["ImageId"])


def register(site: Site, ami: str, state: State) -> None:
    there = RegionBuild(
        ami=ami, state=state, verified_at=NOON if state is State.READY else None
    )

    def change(registry: Registry) -> None:
        put_build(registry, "debian13", BUILD, a_build({REGION: there}))
        point = promote if state is State.READY else set_candidate
        point(registry, "debian13", BUILD, REGION)

    site.registry.update(change)


def fates(site: Site) -> dict[str, Fate]:
    return {v.thing.id: v.fate for v in survey(site).verdicts}


def reap_all(site: Site) -> list[str]:
    return [t.thing.id for t in carry_out(site, survey(site)) if not t.error]


def entries(site: Site) -> list[str]:
    return [entry.id for entry in site.journal.entries()]


def test_what_the_journal_shows_to_be_a_dead_bakes_goes_at_once(site: Site) -> None:
    site.journal.write(an_entry(GONE, created=site.clock.time()))
    made = [volume(site, labels(site)), image(site, {})]
    assert set(reap_all(site)) == set(made)
    assert fates(site) == {}


def test_a_live_bake_keeps_everything_even_past_its_expiry(site: Site) -> None:
    site.journal.write(an_entry(ALIVE, created=site.clock.time()))
    made = [volume(site, labels(site, -HOUR)), image(site, {})]
    assert fates(site) == dict.fromkeys(made, Fate.KEEP)
    assert reap_all(site) == []
    assert entries(site)


def test_a_live_bake_from_another_state_folder_survives(site: Site) -> None:
    made = volume(site, labels(site))
    untagged = image(site, {})
    assert reap_all(site) == []
    assert set(fates(site)) == {made, untagged}


def test_without_a_journal_the_expiry_decides(site: Site) -> None:
    made = volume(site, labels(site), "us-east-1")
    assert fates(site) == {made: Fate.LATER}
    site.clock.sleep(HOUR)
    assert reap_all(site) == [made]


def test_what_carries_our_name_only_needs_two_looks_and_the_age(
    site: Site, clock: FakeClock
) -> None:
    made = image(site, {})
    [verdict] = survey(site).verdicts
    assert verdict.thing.created is not None
    clock.now = verdict.thing.created
    assert fates(site) == {made: Fate.LATER}
    clock.sleep(2 * HOUR - 1)
    assert fates(site) == {made: Fate.LATER}
    clock.sleep(1)
    assert reap_all(site) == [made]


def test_age_alone_is_not_enough_on_the_first_look(
    site: Site, clock: FakeClock
) -> None:
    made = image(site, {})
    clock.sleep(10 * 365 * 24 * HOUR)
    assert fates(site) == {made: Fate.LATER}
    assert fates(site) == {made: Fate.LATER}  # the same moment is no second look
    clock.sleep(1)
    assert fates(site) == {made: Fate.TAKE}


def test_what_was_seen_is_remembered_for_regions_not_looked_at(site: Site) -> None:
    image(site, {})
    survey(site)
    seen = site.state / "reap-seen.json"
    before = json.loads(seen.read_text())
    assert len(before) == 1
    survey(site, ("us-east-1",))
    assert json.loads(seen.read_text()) == before


def test_a_damaged_memory_of_what_was_seen_only_costs_time(site: Site) -> None:
    made = image(site, {})
    site.clock.sleep(10 * 365 * 24 * HOUR)
    survey(site)
    for damage in ("", "[]", "{", '{"x": "y"}'):
        (site.state / "reap-seen.json").write_text(damage)
        site.clock.sleep(1)
        assert fates(site) == {made: Fate.LATER}, damage


def test_a_proved_image_is_kept_and_its_forgotten_expiry_taken_off(
    site: Site,
) -> None:
    made = image(site, labels(site, -HOUR))
    register(site, made, State.READY)
    site.journal.write(an_entry(GONE, created=site.clock.time() - HOUR))
    assert reap_all(site) == []
    [kept] = survey(site).verdicts
    assert (kept.fate, tags.EXPIRES in kept.thing.tags) == (Fate.KEEP, False)
    assert entries(site) == []


def test_another_checkouts_proved_image_is_kept_though_its_bake_is_dead(
    site: Site,
) -> None:
    # The state folder is shared by all checkouts, the registry is not.
    made = image(site, labels(site, None))
    site.journal.write(an_entry(GONE, created=site.clock.time()))
    assert fates(site) == {made: Fate.KEEP}


def test_an_unproved_image_that_is_taken_is_retired_in_the_registry(
    site: Site,
) -> None:
    made = image(site, labels(site, -1))
    register(site, made, State.PENDING)
    assert reap_all(site) == [made]
    registry = site.registry.read()
    there = registry.images["debian13"].builds[BUILD].regions[REGION]
    assert (there.state, there.reason) == (
        State.RETIRED,
        "reaped before it was proved",
    )
    assert registry.channel("debian13", "x86_64", REGION).candidate is None


def test_listing_changes_nothing_and_says_the_same_as_the_reap_does(
    site: Site,
) -> None:
    made = volume(site, labels(site, -HOUR))
    first, second = survey(site), survey(site)
    assert first.verdicts == second.verdicts
    assert [thing.id for thing in first.doomed] == [made]
    assert not any(
        action.startswith(("Delete", "Deregister", "Terminate"))
        for _, action in site.cloud.calls
    )


def test_a_region_that_cannot_be_asked_is_reported_and_stops_no_other(
    site: Site,
) -> None:
    site.journal.write(an_entry(GONE, created=site.clock.time() - HOUR))
    made = volume(site, labels(site, -HOUR), "us-east-1")
    with Stubber(site.cloud.client("ec2", REGION)) as stub:
        stub.add_client_error("describe_instances", "OptInRequired", "not enabled")
        found = survey(site)
    [(region, why)] = found.unreachable
    assert region == REGION
    assert "OptInRequired" in why
    assert [t.thing.id for t in carry_out(site, found)] == [made]
    assert entries(site)  # nobody knows what is left of it there


def test_without_regions_every_enabled_one_is_looked_at(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cloud, "enabled_regions", lambda _: ("eu-west-1",))
    bare = Site(
        Settings.model_validate({"registry": "r.json", "state_dir": "state"}),
        site.root,
        clock=site.clock,
    )
    bare.cloud = site.cloud
    assert survey(bare).regions == ("eu-west-1",)
    assert survey(bare, ("us-west-1",)).regions == ("us-west-1",)


def test_a_registry_of_another_account_stops_it_before_any_look(site: Site) -> None:
    path = site.registry.path
    path.write_text(path.read_text().replace(ACCOUNT, "2" * 12))
    with pytest.raises(RegistryError, match="belongs to account"):
        survey(site)
    assert (REGION, "DescribeInstances") not in site.cloud.calls


def test_an_entry_of_another_account_is_not_ours_to_judge_by(site: Site) -> None:
    site.journal.write(an_entry(GONE, account="2" * 12, created=0.0))
    made = volume(site, labels(site))
    assert fates(site) == {made: Fate.LATER}
    carry_out(site, survey(site))
    assert entries(site)


def test_entries_of_the_dead_are_struck_when_nothing_is_left(site: Site) -> None:
    now = site.clock.time()
    site.journal.write(an_entry(GONE, id="old", created=now - HOUR))
    site.journal.write(an_entry(GONE, id="fresh", created=now))
    site.journal.write(an_entry(ALIVE, id="alive", created=now - HOUR))
    site.journal.write(
        an_entry(GONE, id="elsewhere", created=now - HOUR, region="eu-west-1")
    )
    carry_out(site, survey(site))
    # EC2 may still hide what the fresh one made; nobody looked at eu-west-1.
    assert set(entries(site)) == {"fresh", "alive", "elsewhere"}


def test_the_entry_of_what_was_taken_is_struck_by_the_reap_that_finds_no_more(
    site: Site,
) -> None:
    # EC2 may show more of that bake a moment later: a snapshot, another instance.
    site.journal.write(an_entry(GONE, id="it", created=site.clock.time() - HOUR))
    made = volume(site, labels(site))
    assert reap_all(site) == [made]
    assert entries(site) == ["it"]
    late = volume(site, labels(site))
    assert reap_all(site) == [late]
    assert reap_all(site) == []
    assert entries(site) == []


def test_the_snapshot_of_a_proved_image_is_kept_after_the_image_is_gone(
    site: Site,
) -> None:
    made = volume(site, {"project": "x"})
    said = site.cloud.call(
        REGION,
        "create_snapshot",
        VolumeId=made,
        TagSpecifications=[
            {"ResourceType": "snapshot", "Tags": as_tags(labels(site, -HOUR))}
        ],
    )
    there = RegionBuild(
        ami=AMI, snapshot=said["SnapshotId"], state=State.READY, verified_at=NOON
    )
    site.registry.update(
        lambda registry: put_build(
            registry, "debian13", BUILD, a_build({REGION: there})
        )
    )
    assert fates(site) == {said["SnapshotId"]: Fate.KEEP}


def test_an_entry_stays_while_something_of_it_resists(site: Site) -> None:
    site.journal.write(an_entry(GONE, created=site.clock.time() - HOUR))
    volume(site, labels(site))
    found = survey(site)
    with Stubber(site.cloud.client("ec2", REGION)) as stub:
        stub.add_client_error("delete_volume", "UnauthorizedOperation", "no")
        [taken] = carry_out(site, found)
    assert "UnauthorizedOperation" in taken.error
    assert entries(site)


def test_an_entry_stays_while_something_untagged_of_it_resists(site: Site) -> None:
    site.journal.write(an_entry(GONE, created=site.clock.time() - HOUR))
    image(site, {})
    found = survey(site)
    with Stubber(site.cloud.client("ec2", REGION)) as stub:
        stub.add_client_error("deregister_image", "UnauthorizedOperation", "no")
        carry_out(site, found)
    assert entries(site)


def test_reaping_an_empty_account_does_nothing(site: Site) -> None:
    found = survey(site)
    assert found.verdicts == ()
    assert carry_out(site, found) == []
    assert Journal(site.state / "journal").entries() == []
    assert reap.end_orphans(site) == []

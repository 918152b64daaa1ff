"""Annexes and the reaper: leases are kept, what is over or nobody's is taken."""

from __future__ import annotations

import pytest
from botocore.stub import Stubber

from annexkit import annexes, ssh, tags
from annexkit.errors import Exit
from annexkit.flows.reap import carry_out, forget_ended, survey
from annexkit.flows.reap_report import reap_and_report
from annexkit.flows.site import Site
from annexkit.journal import Process
from annexkit.launch import parameter
from annexkit.sweep.judge import Fate
from tests.unit.flows.annex import HOUR, LAUNCH, launch, living, recorded, secret
from tests.unit.flows.conftest import ALIVE, GONE
from tests.unit.helpers import BUILD, REGION, an_entry

Captured = pytest.CaptureFixture[str]


def entry(site: Site, owner: Process, **changes: object) -> None:
    now = site.clock.time()
    values = {"kind": "launch", "launch": LAUNCH, "annex": "grid", "build": ""}
    known = {"created": now, "deadline": now + HOUR, "ami_name": ""}
    site.journal.write(an_entry(owner, **(values | known | changes)))


def told(site: Site) -> dict[str, tuple[Fate, str]]:
    return {v.thing.id: (v.fate, v.reason) for v in survey(site).verdicts}


def test_a_leased_annex_is_kept_until_its_end(site: Site) -> None:
    [node] = launch(site, count=1)
    until = "2023-11-14 23:13:20 UTC"
    reason = f"annex grid: its lease runs until {until}"
    assert told(site) == {node: (Fate.KEEP, reason)}
    site.clock.sleep(HOUR + 180)
    reason = "annex grid: its lease was over 3 min ago"
    assert told(site) == {node: (Fate.TAKE, reason)}
    assert [t.error for t in carry_out(site, survey(site))] == [""]
    assert (living(site), told(site)) == ([], {})


def test_what_a_dead_launch_left_goes_at_once_with_its_secret(site: Site) -> None:
    ids = launch(site)
    name = secret(site)
    entry(site, GONE)
    assert {fate for fate, _ in told(site).values()} == {Fate.TAKE}
    assert set(told(site)) == {*ids, name}
    assert f"the launch it belongs to is gone (pid {GONE.pid})" in told(site)[name][1]
    assert not [t.error for t in carry_out(site, survey(site)) if t.error]
    assert (living(site), parameter.listed(site.cloud, REGION)) == ([], [])


def test_what_a_dead_launch_had_leased_already_lives_on(site: Site) -> None:
    [node] = launch(site, count=1, expires_in=2 * HOUR)
    entry(site, GONE)
    fate, reason = told(site)[node]
    assert (fate, "its lease runs until" in reason) == (Fate.KEEP, True)


def test_the_key_goes_with_an_annex_that_ended_by_itself(site: Site) -> None:
    for name in ("grid", "other"):
        recorded(site, name)
        folder = annexes.folder(site.state, name)
        ssh.new_key(folder.key)
    launch(site, name="other")
    assert forget_ended(site, {"eu-west-1"}) == []
    assert forget_ended(site, {REGION}) == ["grid"]
    assert not annexes.folder(site.state, "grid").key.exists()
    assert annexes.folder(site.state, "other").key.exists()


def test_a_running_launch_keeps_what_is_its_own(site: Site) -> None:
    ids = launch(site, expires_in=-HOUR)
    entry(site, ALIVE)
    assert {fate for fate, _ in told(site).values()} == {Fate.KEEP}
    assert set(told(site)) == set(ids)


def test_the_bake_of_their_image_has_no_say_over_nodes(site: Site) -> None:
    launch(site)
    site.journal.write(an_entry(GONE, build=BUILD))
    assert {fate for fate, _ in told(site).values()} == {Fate.KEEP}


def test_another_launch_of_the_annex_is_another_matter(site: Site) -> None:
    mine = launch(site)
    other = launch(site, launch_id="ba9876543210")
    entry(site, GONE)
    fates = {one: fate for one, (fate, _) in told(site).items()}
    assert fates == dict.fromkeys(mine, Fate.TAKE) | dict.fromkeys(other, Fate.KEEP)


def test_a_node_that_says_no_end_is_left_to_a_person(site: Site) -> None:
    [node] = launch(site, count=1, expires_in=None)
    fate, reason = told(site)[node]
    assert fate is Fate.KEEP
    assert f"invoke terminate --annex-name grid --region {REGION}" in reason


def test_a_loose_volume_of_an_annex_goes_by_its_expiry(site: Site) -> None:
    own = {tags.LAUNCH: LAUNCH, tags.ANNEX: "grid", tags.EXPIRES: "1"}
    said = site.cloud.call(
        REGION,
        "create_volume",
        AvailabilityZone=f"{REGION}a",
        Size=1,
        TagSpecifications=[
            {
                "ResourceType": "volume",
                "Tags": [{"Key": key, "Value": value} for key, value in own.items()],
            }
        ],
    )
    assert [t.id for t in survey(site).doomed] == [said["VolumeId"]]


def test_the_entry_of_a_dead_launch_waits_for_a_second_look(site: Site) -> None:
    # It may have asked for nodes a second before it died, that EC2 hides yet.
    entry(site, GONE, created=site.clock.time() - HOUR)
    carry_out(site, survey(site))
    assert site.journal.entries()
    site.clock.sleep(61)
    carry_out(site, survey(site))
    assert site.journal.entries() == []


def test_past_its_deadline_the_entry_needs_no_second_look(site: Site) -> None:
    entry(site, GONE, deadline=site.clock.time() - 61)
    carry_out(site, survey(site))
    assert site.journal.entries() == []


def test_secrets_that_cannot_be_listed_are_told_and_nodes_are_reaped(
    site: Site,
) -> None:
    launch(site, expires_in=-1)
    with Stubber(site.cloud.client("ssm", REGION)) as stub:
        stub.add_client_error("describe_parameters", "AccessDeniedException", "no")
        found = survey(site)
    assert [region for region, _ in found.unreachable] == [REGION]
    carry_out(site, found)
    assert living(site) == []


def test_many_nodes_go_in_few_calls_and_are_kept_in_one_row(
    site: Site, capsys: Captured
) -> None:
    launch(site, count=30)
    reap_and_report(site, (), yes=True, dry_run=False)
    told = capsys.readouterr().out
    assert told.count("its lease runs until") == 1
    assert "30 of them" in told
    site.clock.sleep(HOUR)
    site.cloud.calls.clear()
    assert reap_and_report(site, (), yes=True, dry_run=False) == Exit.DONE
    assert living(site) == []
    assert site.cloud.calls[REGION, "TerminateInstances"] == 1

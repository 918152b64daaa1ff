"""A step cut short is finished by the next run, and snapshots go last."""

from __future__ import annotations

from typing import Any

import pytest

from annexkit import tags
from annexkit.aws import AwsError
from annexkit.errors import Exit
from annexkit.flows import retire
from annexkit.flows.retire import carry_out
from annexkit.publish.retention import Step
from annexkit.registry import RegistryError, State
from annexkit.registry.edits import set_retired
from tests.unit.flows.retiring import IMAGE, Shelf, failing, named
from tests.unit.helpers import REGION

OLD = 100.0


def ready_to_go(shelf: Shelf, number: int = 1, *regions: str) -> str:
    ami = shelf.add(number, OLD, *regions)
    for days in (15.0, 8.0):
        shelf.run()
        shelf.wait(days)
    return ami


@pytest.mark.parametrize("method", ["enable_image_deprecation", "disable_image"])
def test_a_step_cut_short_is_taken_by_the_next_run_from_another_machine(
    shelf: Shelf, method: str, tmp_path: Any
) -> None:
    ami = shelf.add(1, OLD)
    if method == "disable_image":
        shelf.run()
        shelf.wait(15)
    call = shelf.site.cloud.call
    failing(shelf.site, method)
    assert shelf.run() is Exit.PARTLY
    shelf.site.cloud.call = call  # type: ignore[method-assign]
    shelf.wait(1)
    shelf.site.settings = shelf.site.settings.model_copy(
        update={"state_dir": str(tmp_path / "empty")}
    )
    assert shelf.run() is Exit.DONE
    image = shelf.described(ami)
    assert (image["State"] == "disabled") is (method == "disable_image")
    shelf.wait(6.9)  # the wait counts from the step that was taken, not the one begun
    assert shelf.steps() == {1: Step.WAIT}


def test_an_end_cut_short_is_finished_and_recorded_by_the_next_run(
    shelf: Shelf,
) -> None:
    ami = ready_to_go(shelf)
    call = shelf.site.cloud.call
    failing(shelf.site, "delete_snapshot", code="UnauthorizedOperation")
    assert shelf.run() is Exit.PARTLY
    assert shelf.described(ami) is None
    assert shelf.there(1).state is State.READY  # its snapshot still costs money
    shelf.site.cloud.call = call  # type: ignore[method-assign]
    assert shelf.steps() == {1: Step.CLEAR}
    assert shelf.run() is Exit.DONE
    assert shelf.there(1).snapshot not in shelf.snapshots()
    assert shelf.there(1).state is State.RETIRED
    assert shelf.steps() == {}


def test_a_registry_that_could_not_be_written_is_mended_by_the_next_run(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready_to_go(shelf)

    def full(*_: object, **__: object) -> None:
        raise RegistryError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(retire, "set_retired", full)
        assert shelf.run() is Exit.PARTLY
    assert shelf.there(1).state is State.READY
    assert shelf.run() is Exit.DONE
    assert shelf.there(1).state is State.RETIRED


def test_what_a_retired_build_left_behind_is_cleared(shelf: Shelf) -> None:
    shelf.add(1, 1)
    shelf.site.registry.update(
        lambda r: set_retired(r, IMAGE, named(1), REGION, "by hand")
    )
    assert shelf.said()[1][1] == "registry"  # its AMI is there: brought back
    there = shelf.there(1)
    shelf.site.cloud.call(REGION, "deregister_image", ImageId=there.ami)
    assert shelf.steps() == {1: Step.CLEAR}
    assert shelf.run() is Exit.DONE
    assert there.snapshot not in shelf.snapshots()


def test_a_snapshot_that_another_ami_uses_or_somebody_made_stays(
    shelf: Shelf,
) -> None:
    shelf.add(1, OLD)
    there = shelf.there(1)
    cloud = shelf.site.cloud
    volume = cloud.call(REGION, "create_volume", AvailabilityZone=f"{REGION}a", Size=1)[
        "VolumeId"
    ]
    backup = cloud.call(
        REGION,
        "create_snapshot",
        VolumeId=volume,
        TagSpecifications=[
            {
                "ResourceType": "snapshot",
                "Tags": [{"Key": tags.BUILD, "Value": named(1)}],
            }
        ],
    )["SnapshotId"]
    cloud.call(REGION, "deregister_image", ImageId=there.ami)
    (verdict,) = shelf.plan().verdicts
    assert verdict.copy.left == (there.snapshot,)
    assert shelf.run() is Exit.DONE
    assert backup in shelf.snapshots()


def test_snapshots_that_ec2_keeps_for_other_amis_are_told(shelf: Shelf) -> None:
    ready_to_go(shelf)
    snapshot = shelf.there(1).snapshot
    call = shelf.site.cloud.call

    def shared(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        said = call(region, method, **arguments)
        if method == "deregister_image":
            assert arguments["DeleteAssociatedSnapshots"] is True
            result = {"SnapshotId": snapshot, "ReturnCode": "skipped"}
            return {**said, "DeleteSnapshotResults": [result]}
        return said

    shelf.site.cloud.call = shared  # type: ignore[method-assign]
    assert shelf.run() is Exit.DONE
    assert snapshot in shelf.snapshots()
    assert f"shared snapshots stay: {snapshot}" in shelf.there(1).reason


def test_a_snapshot_is_in_use_for_a_moment_after_its_ami_is_gone(
    shelf: Shelf,
) -> None:
    ready_to_go(shelf)
    call, tries = shelf.site.cloud.call, []

    def held(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        if method == "delete_snapshot":
            tries.append(arguments["SnapshotId"])
            if len(tries) < 3:
                raise AwsError(
                    "in use", code="InvalidSnapshot.InUse", action="x", region=region
                )
        return call(region, method, **arguments)

    shelf.site.cloud.call = held  # type: ignore[method-assign]
    assert shelf.run() is Exit.DONE
    assert len(tries) == 3
    assert shelf.there(1).snapshot not in shelf.snapshots()


def test_it_is_gone_already_is_as_good(shelf: Shelf) -> None:
    ready_to_go(shelf)
    plan = shelf.plan()
    there = shelf.there(1)
    shelf.site.cloud.call(REGION, "deregister_image", ImageId=there.ami)
    shelf.site.cloud.call(REGION, "delete_snapshot", SnapshotId=there.snapshot)
    assert [d.error for d in carry_out(shelf.site, plan)] == [""]
    assert shelf.there(1).state is State.RETIRED

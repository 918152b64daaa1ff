"""Every verdict on an AMI, and every reason for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from annexkit.publish.standing import (
    Held,
    Line,
    Named,
    Verdict,
    faults,
    judge,
    marked,
    named,
    unreachable,
)
from annexkit.registry import State
from annexkit.registry.edits import set_retired
from tests.unit.helpers import ACCOUNT, AMI, BUILD, SNAPSHOT, ami_id
from tests.unit.publish.samples import ALMA, ARM, NEW, OLD, a_registry

ONE = Named(
    image="debian13",
    arch="x86_64",
    region="us-west-2",
    build=BUILD,
    ami=AMI,
    snapshot=SNAPSHOT,
    state=State.READY,
    channels=("current",),
)
OTHER_SNAPSHOT = "snap-0000000000000000f"
SAID: dict[str, Any] = {
    "ImageId": AMI,
    "State": "available",
    "OwnerId": ACCOUNT,
    "Architecture": "x86_64",
    "ImdsSupport": "v2.0",
    "RootDeviceName": "/dev/xvda",
    "BlockDeviceMappings": [
        {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"},
        {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": SNAPSHOT}},
    ],
    "Tags": [
        {"Key": "annexkit:build", "Value": BUILD},
        {"Key": "annexkit:image", "Value": "debian13"},
    ],
}
EXPIRES = {"Key": "annexkit:expires", "Value": "1700000000"}
WITH_EXPIRY = [*SAID["Tags"], EXPIRES]


def held(
    image: dict[str, Any] | None = SAID, snapshots: dict[str, str] | None = None
) -> Held:
    there = {SNAPSHOT: "completed"} if snapshots is None else snapshots
    return Held({AMI: image} if image else {}, there)


def judged(one: Named = ONE, there: Held | None = None) -> Line:
    return judge(one, there or held(), ACCOUNT)


def test_what_fits_is_correct_and_needs_no_mend() -> None:
    line = judged()
    assert (line.verdict, line.what, line.mend) == (Verdict.CORRECT, (), "")
    assert faults(ONE, held(), ACCOUNT) == []


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"State": "pending"}, "its state is pending, not available"),
        ({"State": "disabled"}, "its state is disabled, not available"),
        ({"OwnerId": "2" * 12}, f"its owner is {'2' * 12}, not {ACCOUNT}"),
        ({"Architecture": "arm64"}, "its architecture is arm64, not x86_64"),
        ({"ImdsSupport": None}, "its ImdsSupport is unset, not v2.0"),
        ({"RootDeviceName": "/dev/sdz"}, "it has no root snapshot"),
        ({"BlockDeviceMappings": []}, "it has no root snapshot"),
        (
            {"Tags": [{"Key": "annexkit:build", "Value": "x"}, SAID["Tags"][1]]},
            f"its tag annexkit:build is x, not {BUILD}",
        ),
        (
            {"Tags": [SAID["Tags"][0]]},
            "its tag annexkit:image is unset, not debian13",
        ),
    ],
)
@pytest.mark.parametrize("state", [State.PENDING, State.READY])
def test_each_thing_that_does_not_fit_is_incorrect(
    changed: dict[str, Any], what: str, state: State
) -> None:
    said = {k: v for k, v in (SAID | changed).items() if v is not None}
    line = judged(replace(ONE, state=state), held(said))
    assert (line.verdict, line.what) == (Verdict.INCORRECT, (what,))
    assert line.mend


@pytest.mark.parametrize(
    ("root", "snapshots", "what"),
    [
        (SNAPSHOT, {}, (f"its root snapshot {SNAPSHOT} is gone",)),
        (
            SNAPSHOT,
            {SNAPSHOT: "error"},
            (f"its root snapshot {SNAPSHOT} is error, not completed",),
        ),
        (
            OTHER_SNAPSHOT,
            {OTHER_SNAPSHOT: "completed", SNAPSHOT: "completed"},
            (f"its root snapshot is {OTHER_SNAPSHOT}, the registry has {SNAPSHOT}",),
        ),
    ],
)
def test_the_root_snapshot_has_to_be_there_and_the_registrys(
    root: str, snapshots: dict[str, str], what: tuple[str, ...]
) -> None:
    disk = [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": root}}]
    line = judged(ONE, held(SAID | {"BlockDeviceMappings": disk}, snapshots))
    assert (line.verdict, line.what) == (Verdict.INCORRECT, what)


def test_a_registry_without_a_snapshot_takes_the_images_own() -> None:
    assert judged(replace(ONE, snapshot="")).verdict is Verdict.CORRECT


def test_all_that_is_wrong_is_said_at_once() -> None:
    line = judged(ONE, held({"ImageId": AMI}, {}))
    assert line.verdict is Verdict.INCORRECT
    assert len(line.what) == 7


@pytest.mark.parametrize("state", [State.PENDING, State.READY])
def test_what_stands_in_the_registry_and_not_in_ec2_is_missing(state: State) -> None:
    line = judged(replace(ONE, state=state), held(None))
    assert (line.verdict, line.what) == (Verdict.MISSING, (f"{AMI} does not exist",))


def test_what_is_proved_and_still_has_its_expiry_is_incorrect() -> None:
    said = SAID | {"Tags": WITH_EXPIRY}
    assert marked(said) and not marked(SAID)
    line = judged(ONE, held(said))
    assert line.verdict is Verdict.INCORRECT
    assert line.what == ("it is proved, and still has the tag annexkit:expires",)
    assert line.mend == "invoke reap --region us-west-2 takes the tag off"
    assert faults(ONE, held(said), ACCOUNT) == [], "a promotion takes it off itself"


def test_what_is_not_proved_yet_keeps_its_expiry() -> None:
    line = judged(replace(ONE, state=State.PENDING), held(SAID | {"Tags": WITH_EXPIRY}))
    assert line.verdict is Verdict.CORRECT


FAILED = replace(ONE, state=State.FAILED, channels=())
RETIRED = replace(ONE, state=State.RETIRED, channels=())


@pytest.mark.parametrize(
    ("one", "there", "verdict", "what"),
    [
        (FAILED, held(None), Verdict.CORRECT, "failed, and gone"),
        (
            FAILED,
            held(SAID | {"Tags": WITH_EXPIRY}),
            Verdict.CORRECT,
            "failed; it stays until its expiry",
        ),
        (
            FAILED,
            held(),
            Verdict.INCORRECT,
            "failed, and without the tag annexkit:expires it stays for ever",
        ),
        (RETIRED, held(None, {}), Verdict.CORRECT, "retired, and gone"),
        (
            RETIRED,
            held(SAID | {"State": "disabled"}),
            Verdict.INCORRECT,
            "it is retired, and still there (disabled)",
        ),
        (
            RETIRED,
            held(None),
            Verdict.INCORRECT,
            f"it is retired and gone, but its snapshot {SNAPSHOT} still costs",
        ),
        (
            replace(RETIRED, snapshot=""),
            held(None),
            Verdict.CORRECT,
            "retired, and gone",
        ),
    ],
)
def test_what_failed_or_is_retired_has_rules_of_its_own(
    one: Named, there: Held, verdict: Verdict, what: str
) -> None:
    line = judged(one, there)
    assert (line.verdict, line.what) == (verdict, (what,))
    assert bool(line.mend) is (verdict is Verdict.INCORRECT)


def test_the_mend_names_what_has_to_go() -> None:
    image = judged(RETIRED, held()).mend
    assert image == (
        "aws ec2 deregister-image --delete-associated-snapshots "
        f"--image-id {AMI} --region us-west-2"
    )
    snapshot = judged(RETIRED, held(None)).mend
    assert f"delete-snapshot --snapshot-id {SNAPSHOT} --region us-west-2" in snapshot


@pytest.mark.parametrize(
    ("channels", "mend"),
    [
        (("current",), "invoke registry.rollback --image debian13 --arch x86_64 "),
        (("previous",), "invoke bake --image debian13 --arch x86_64 --region us-west"),
        (("candidate",), "invoke bake --image debian13 --arch x86_64 --region us-we"),
        ((), "no channel names it"),
    ],
)
def test_the_mend_of_what_is_missing_depends_on_who_points_to_it(
    channels: tuple[str, ...], mend: str
) -> None:
    assert mend in judged(replace(ONE, channels=channels), held(None)).mend


def test_a_region_that_does_not_answer_says_nothing_of_its_amis() -> None:
    line = unreachable(ONE, "no route")
    assert (line.verdict, line.what) == (Verdict.UNREACHABLE, ("no route",))
    assert line.mend


def test_every_ami_is_named_once_with_the_channels_that_point_to_it() -> None:
    registry = a_registry()
    set_retired(registry, "debian13", OLD, "us-east-1", "old")
    found = {(o.build, o.region): o for o in named(registry)}
    assert set(found) == {
        (OLD, "us-west-2"),
        (OLD, "us-east-1"),
        (NEW, "ap-south-1"),
        (ARM, "us-west-2"),
        (ALMA, "us-west-2"),
    }, "what never had an AMI, and the 2016 guide's, are not among them"
    west = found[OLD, "us-west-2"]
    assert (west.ami, west.state, west.channels) == (
        ami_id(1),
        State.READY,
        ("current",),
    )
    assert found[OLD, "us-east-1"].state is State.RETIRED
    assert found[OLD, "us-east-1"].channels == ()
    assert found[NEW, "ap-south-1"].channels == ("candidate",)
    assert found[ARM, "us-west-2"].arch == "arm64"


def test_images_and_regions_can_be_asked_for() -> None:
    registry = a_registry()
    assert [o.build for o in named(registry, ["alma9"])] == [ALMA]
    assert [o.build for o in named(registry, regions=["us-east-1"])] == [OLD]
    assert named(registry, ["alma9"], ["us-east-1"]) == []

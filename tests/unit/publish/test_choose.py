from __future__ import annotations

from datetime import timedelta

import pytest

from annexkit.errors import Level
from annexkit.publish.choose import choose, for_upstream, of_images, speaks_upstream
from annexkit.registry import Channels, Registry, State
from annexkit.registry.edits import promote, put_build, set_failed, set_retired
from tests.unit.helpers import ami_id
from tests.unit.publish.samples import (
    ALMA,
    NEW,
    NOW,
    OLD,
    a_registry,
    build,
    there,
)


def test_what_is_current_is_exported_by_image_architecture_and_region() -> None:
    export = choose(a_registry(), NOW)
    assert [(a.image, a.arch, a.region, a.ami, a.age) for a in export.amis] == [
        ("alma9", "x86_64", "us-west-2", ami_id(4), 0),
        ("debian13", "arm64", "us-west-2", ami_id(3), 1),
        ("debian13", "x86_64", "us-east-1", ami_id(2), 3),
        ("debian13", "x86_64", "us-west-2", ami_id(1), 3),
    ]


def test_a_previous_build_is_neither_exported_nor_left_out() -> None:
    registry = a_registry()
    put_build(
        registry, "debian13", NEW, build(NEW, {"us-west-2": there(State.READY, 6)})
    )
    promote(registry, "debian13", NEW, "us-west-2")
    export = choose(registry, NOW)
    known = {a.ami for a in export.amis}
    assert ami_id(6) in known
    assert ami_id(1) not in known
    assert not [o for o in export.left_out if o.region == "us-west-2"]


def test_what_is_left_out_has_its_reason_and_the_command() -> None:
    left = {o.region: o for o in choose(a_registry(), NOW).left_out}
    assert set(left) == {"ap-south-1", "eu-west-1"}
    assert left["ap-south-1"].why.endswith(f"{NEW}, is not proved yet")
    assert left["eu-west-1"].why.endswith(
        f"{OLD}, failed: the copy never became available"
    )
    assert left["eu-west-1"].mend == (
        "invoke bake --image debian13 --arch x86_64 --region eu-west-1"
    )
    assert {o.level for o in left.values()} == {Level.WARNING}


def test_an_ami_that_failed_or_is_gone_since_is_left_out() -> None:
    registry = a_registry()
    set_failed(registry, "debian13", OLD, "us-east-1", "a job dies there")
    set_retired(registry, "alma9", ALMA, "us-west-2", "its AMI is gone")
    export = choose(registry, NOW)
    left = {(o.image, o.region): o.why for o in export.left_out}
    assert left["debian13", "us-east-1"].endswith("failed: a job dies there")
    assert left["alma9", "us-west-2"].endswith("was retired: its AMI is gone")
    assert ami_id(2) not in {a.ami for a in export.amis}
    assert ami_id(4) not in {a.ami for a in export.amis}


def test_a_proved_build_that_was_kept_back_and_an_empty_channel_are_named() -> None:
    registry = Registry()
    kept = build(OLD, {"us-west-2": there(State.READY, 1)})
    put_build(registry, "debian13", OLD, kept)
    registry.images["debian13"].channels["arm64"] = {"us-east-1": Channels()}
    left = {o.region: o.why for o in choose(registry, NOW).left_out}
    assert left["us-west-2"].endswith("is proved, and was not made current")
    assert left["us-east-1"] == "nothing is current: there is no build"


@pytest.mark.parametrize(
    ("image", "region"),
    [
        ("debian13\nevil", "us-west-2"),
        ("Debian", "us-west-2"),
        ('d"', "us-west-2"),
        ("d$(id)", "us-west-2"),
        ("d", "us-west-2\nX = 1"),
        ("d", "us west 2"),
        ("d", "us-west-٢"),
        ("d", ""),
    ],
)
def test_a_name_that_annexkit_does_not_give_goes_nowhere(
    image: str, region: str
) -> None:
    registry = Registry()
    put_build(registry, image, OLD, build(OLD, {region: there(State.READY, 1)}))
    promote(registry, image, OLD, region)
    export = choose(registry, NOW)
    assert export.amis == ()
    assert [(o.image, o.region) for o in export.left_out] == [(image, region)]


def test_a_state_that_no_channel_may_point_at_is_not_exported() -> None:
    registry = a_registry()  # as a writer could leave it that checks nothing
    registry.images["alma9"].builds[ALMA].regions["us-west-2"].state = State.RETIRED
    export = choose(registry, NOW)
    assert ami_id(4) not in {a.ami for a in export.amis}
    assert [o.why for o in export.left_out if o.image == "alma9"] == [
        f"build {ALMA} is retired"
    ]


def test_a_clock_that_is_behind_makes_no_negative_age() -> None:
    export = choose(a_registry(), NOW - timedelta(days=30))
    assert {a.age for a in export.amis} == {0}


def test_only_what_was_asked_for_is_exported_or_called_left_out() -> None:
    export = choose(a_registry(), NOW)
    alma = of_images(export, ("alma9",), "")
    assert [a.image for a in alma.amis] == ["alma9"]
    assert alma.left_out == ()
    arm = of_images(export, (), "arm64")
    assert [(a.image, a.arch) for a in arm.amis] == [("debian13", "arm64")]
    assert of_images(export, (), "") == export


def test_upstreams_client_gets_one_image_for_a_region() -> None:
    export = for_upstream(choose(a_registry(), NOW), "debian13", "x86_64")
    assert [(a.region, a.ami) for a in export.amis] == [
        ("us-east-1", ami_id(2)),
        ("us-west-2", ami_id(1)),
    ]
    others = [o for o in export.left_out if o.level is Level.INFO]
    assert [(o.image, o.arch) for o in others] == [
        ("alma9", "x86_64"),
        ("debian13", "arm64"),
    ]
    assert others[1].mend.startswith("--image debian13 --arch arm64")


def test_an_ami_without_upstreams_contract_is_not_for_its_client() -> None:
    export = for_upstream(choose(a_registry(), NOW), "alma9", "x86_64")
    assert export.amis == ()
    (left,) = [o for o in export.left_out if o.image == "alma9"]
    assert "its contracts are annexkit, not annex-ec2" in left.why
    assert left.level is Level.WARNING


@pytest.mark.parametrize(
    ("contracts", "speaks"),
    [
        (("annexkit", "annex-ec2"), True),
        (("annex-ec2-flat",), True),
        (("annex-ec2x", "annexkit", "seed-cfn"), False),
        ((), False),
    ],
)
def test_upstreams_contract_is_known_by_its_name(
    contracts: tuple[str, ...], speaks: bool
) -> None:
    assert speaks_upstream(contracts) is speaks

"""What a bake makes of its proof, and of an AMI that waited for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from annexkit import tags
from annexkit.aws import AwsError, Cloud
from annexkit.errors import AnnexkitError, Exit, Finding, FindingsError, Level
from annexkit.instances import InstanceError, from_tags
from annexkit.registry import State
from annexkit.registry.edits import set_retired
from tests.unit.flows.bakery import Bakery, make_site, raising
from tests.unit.helpers import REGION, FakeClock


@pytest.fixture
def bakery(
    tmp_path: Path, clock: FakeClock, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> Bakery:
    return Bakery(make_site(tmp_path, clock, cloud), monkeypatch)


def only_build(bakery: Bakery) -> str:
    (build,) = bakery.site.registry.read().images["debian13"].builds
    return build


def state(bakery: Bakery) -> State:
    builds = bakery.site.registry.read().images["debian13"].builds
    return builds[only_build(bakery)].regions[REGION].state


@pytest.mark.parametrize(
    "error",
    [
        AwsError("quota", code="VcpuLimitExceeded", action="Run", region=REGION),
        InstanceError("i-1 ended"),
        FindingsError([Finding(Level.ERROR, "no file", mend="look")]),
    ],
)
def test_only_a_failed_check_condemns_an_ami(
    bakery: Bakery, error: AnnexkitError, capsys: pytest.CaptureFixture[str]
) -> None:
    bakery.proving = raising(error)
    assert bakery.bake() != Exit.DONE
    assert state(bakery) == "pending"
    assert "stays a candidate; the next bake proves it" in capsys.readouterr().err


def mark(bakery: Bakery, ami: str, expires: float) -> None:
    label = [{"Key": tags.EXPIRES, "Value": str(int(expires))}]
    bakery.site.cloud.call(REGION, "create_tags", Resources=[ami], Tags=label)


def expiry(bakery: Bakery, ami: str) -> float | None:
    said = bakery.site.cloud.describe_images(REGION, ImageIds=[ami])
    return tags.expiry(from_tags(said[0].get("Tags", [])))


def test_an_old_candidate_is_not_reaped_under_its_own_proof(bakery: Bakery) -> None:
    bakery.proving = raising(AnnexkitError("no room for two instances"))
    bakery.bake()
    (ami,) = bakery.ours()
    mark(bakery, ami, bakery.site.clock.time() + 60)
    bakery.site.clock.sleep(24 * 3600)
    seen: list[float | None] = []
    bakery.proving = lambda: seen.append(expiry(bakery, ami))
    assert bakery.bake() == Exit.DONE
    settings = bakery.site.settings.prove
    lasts = settings.boot_timeout + settings.lifetime
    assert seen == [int(bakery.site.clock.time() + lasts)]
    assert expiry(bakery, ami) is None


@pytest.mark.parametrize("keep", [False, True])
def test_an_expiry_that_a_stopped_bake_left_on_a_proved_ami_is_taken_off(
    bakery: Bakery, keep: bool
) -> None:
    bakery.bake(keep_candidate=keep)
    (ami,) = bakery.ours()
    mark(bakery, ami, bakery.site.clock.time() + 60)
    bakery.bake(dry_run=True, keep_candidate=keep)
    assert expiry(bakery, ami) is not None, "a dry run changes nothing"
    assert bakery.bake(keep_candidate=keep) == Exit.DONE
    assert expiry(bakery, ami) is None
    assert len(bakery.proved) == 1


def test_a_build_that_was_retired_during_its_proof_does_not_become_current(
    bakery: Bakery,
) -> None:
    def reaped() -> None:
        bakery.site.registry.update(
            lambda registry: set_retired(
                registry, "debian13", only_build(bakery), REGION, "reaped"
            )
        )

    bakery.proving = reaped
    assert bakery.bake() == Exit.FAILED
    assert state(bakery) == "retired"
    assert bakery.names().current is None

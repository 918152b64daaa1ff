"""What is written of a proof: only about the AMI that was booted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from annexkit import tags
from annexkit.bake.image import load_image
from annexkit.errors import Finding, Level
from annexkit.flows import proof_record
from annexkit.flows.fresh_boot import ProofError, Subject
from annexkit.flows.site import Site
from annexkit.instance_values import from_tags
from annexkit.registry import Registry, State
from annexkit.registry.edits import EditError
from tests.unit.flows.copying import EAST, a_site, an_ec2, copied, recorded, there
from tests.unit.flows.fake_images import FakeImages
from tests.unit.helpers import BUILD, NOON, FakeClock, ami_id

ROOT = Path(__file__).resolve().parents[3]
WRONG = ProofError([Finding(Level.ERROR, "check 'job' failed: held")])


@pytest.fixture
def images() -> FakeImages:
    return an_ec2()


@pytest.fixture
def site(tmp_path: Path, clock: FakeClock, images: FakeImages) -> Site:
    site = a_site(tmp_path, clock, images)
    copied(site, EAST)
    return site


@pytest.fixture
def subject(site: Site) -> Subject:
    image = load_image(ROOT / "packer" / "images", "debian13")
    ami = there(site, EAST).ami
    assert ami
    return Subject(image, BUILD, recorded(site), EAST, ami)


def replace(site: Site) -> None:
    """Put another AMI in the place of the one that is proved."""

    def change(registry: Registry) -> None:
        registry.images["debian13"].builds[BUILD].regions[EAST].ami = ami_id(0xBEEF)

    site.registry.update(change)


def take_out(site: Site) -> None:
    """Take the build out of the registry."""

    def change(registry: Registry) -> None:
        record = registry.images["debian13"]
        record.channels.clear()
        del record.builds[BUILD]

    site.registry.update(change)


def test_what_passed_is_ready(site: Site, subject: Subject) -> None:
    proof_record.put_proved(site, subject, at=NOON, boot_seconds=9.5)
    found = there(site, EAST)
    assert (found.state, found.verified_at) == (State.READY, NOON)
    assert found.boot_seconds == 9.5


def test_what_failed_is_on_no_channel_and_its_reason_is_kept(
    site: Site, subject: Subject
) -> None:
    error = proof_record.put_failed(site, subject, WRONG)
    assert [f.level for f in error.findings] == [Level.ERROR, Level.INFO]
    assert subject.ami in error.findings[1].what
    found = there(site, EAST)
    assert found.state is State.FAILED and "held" in found.reason
    assert site.registry.read().channel("debian13", "x86_64", EAST).candidate is None


@pytest.mark.parametrize("meanwhile", [replace, take_out])
def test_nothing_is_said_of_an_ami_that_was_not_booted(
    site: Site, subject: Subject, meanwhile: Callable[[Site], None]
) -> None:
    meanwhile(site)
    before = site.registry.path.read_bytes()
    with pytest.raises(EditError, match="not the AMI of build"):
        proof_record.put_proved(site, subject, at=NOON, boot_seconds=9.5)
    proof_record.put_failed(site, subject, WRONG)
    assert site.registry.path.read_bytes() == before


def test_the_expiry_is_renewed_for_the_whole_proof_and_then_comes_off(
    site: Site, subject: Subject, images: FakeImages, clock: FakeClock
) -> None:
    clock.sleep(10_000)
    proof_record.renew(site, EAST, (subject.ami, ""))
    (said,) = images.of(EAST)
    until = float(from_tags(said["Tags"])[tags.EXPIRES])
    assert until == int(clock.time() + 600 + 1800)
    proof_record.unmark(site, EAST, (subject.ami, ""))
    (said,) = images.of(EAST)
    own = from_tags(said["Tags"])
    assert tags.EXPIRES not in own and own[tags.BUILD] == BUILD

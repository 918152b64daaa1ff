"""Nights as a record holds them: a quiet one, a busy one, a red one, a huge one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from annexkit.publish.night import (
    BootNight,
    Did,
    ImageNight,
    Night,
    PackageNight,
    RegionNight,
    RetiredNight,
    StepNight,
)
from tests.unit.helpers import ACCOUNT, ami_id

BEGAN = datetime(2026, 11, 23, 3, 17, tzinfo=UTC)
HOME = "us-west-2"
REGIONS = (
    *("ap-northeast-1", "ap-northeast-2", "ap-south-1", "ap-southeast-1"),
    *("ap-southeast-2", "ca-central-1", "eu-central-1", "eu-north-1", "eu-west-1"),
    *("eu-west-2", "eu-west-3", "sa-east-1", "us-east-1", "us-east-2", "us-west-1"),
    HOME,
)
NEW = "20261123T031702-4be1a7"
OLD = "20261116T031655-90c2d1"
SAME = StepNight(did=Did.UNCHANGED)


def done(seconds: float, cost: float = 0.0, detail: str = "") -> StepNight:
    return StepNight(did=Did.DONE, seconds=seconds, cost=cost, detail=detail)


def failed(error: str, mend: str, seconds: float = 0.0) -> StepNight:
    return StepNight(did=Did.FAILED, error=error, mend=mend, seconds=seconds)


def boots(builds: int = 14, regions: tuple[str, ...] = REGIONS) -> list[BootNight]:
    """Return boot times that fall and rise again, a little different by region."""
    return [
        BootNight(
            build=f"202611{build + 1:02d}T031700-{build:06x}",
            region=region,
            created=BEGAN - timedelta(days=builds - build),
            seconds=34
            + 3.5 * ((build * 7) % 5)
            - 0.6 * build
            + 0.9 * ((at * 5 + 3 + build) % 11),
        )
        for build in range(builds)
        for at, region in enumerate(reversed(regions))
    ]


def packages() -> list[PackageNight]:
    """Return what a week changes on Debian: HTCondor, a kernel, a runtime, others."""
    kernel = "linux-image-6.12.{}+deb13-cloud-amd64"
    return [
        PackageNight(name="libssl3t64", old="3.5.1-1", new="3.5.1-1+deb13u1"),
        PackageNight(name="apptainer", old="1.4.0-1", new="1.4.1-1"),
        PackageNight(name="condor", old="23.9.6+dfsg-2.1", new="23.10.18+dfsg-1"),
        PackageNight(name=kernel.format(48), old="6.12.48-1"),
        PackageNight(name=kernel.format(57), new="6.12.57-1"),
        *(
            PackageNight(name=f"lib{name}", old=f"1:{at}.2~rc1-3", new=f"1:{at}.3-1")
            for at, name in enumerate(
                ("curl4t64", "expat1", "gnutls30t64", "krb5-3", "nss3", "pam0g", "sys")
            )
        ),
        PackageNight(name="tzdata", old="2026b-0+deb13u1", new="2026c-0+deb13u1"),
        PackageNight(name="whiptail", old="0.52.24-4"),
    ]


def an_image(name: str, **fields: object) -> ImageNight:
    given: dict[str, object] = {
        "image": name,
        "arch": "x86_64",
        "digest": "7be5c1" + "0" * 58,
        "build": OLD,
        "before": OLD,
        "home": HOME,
    }
    return ImageNight.model_validate(given | fields)


def unchanged(name: str, regions: tuple[str, ...] = REGIONS) -> ImageNight:
    there = {
        region: RegionNight(ami=ami_id(at), copied=SAME, smoke=SAME, promote=SAME)
        for at, region in enumerate(regions, 1)
    }
    why = [f"unchanged since build {OLD}: the input has the same digest"]
    return an_image(
        name, why=why, bake=SAME, boot=SAME, regions=there, boots=boots(8, regions)
    )


def changed(name: str, regions: tuple[str, ...] = REGIONS) -> ImageNight:
    there = {
        region: RegionNight(
            ami=ami_id(100 + at),
            boot_seconds=29.4 + at,
            copied=SAME if region == HOME else done(212.0 + 9 * at, 0.02),
            smoke=done(64.0 + at, 0.003, "t3.small: a job in 12 s, ended after 41 s"),
            promote=done(1.2),
        )
        for at, region in enumerate(regions)
    }
    return an_image(
        name,
        changed=True,
        why=["newer packages: condor, linux-image and 11 more"],
        pending=packages()[:3],
        build=NEW,
        before=OLD,
        bake=done(431.0, 0.02),
        boot=done(48.0, 0.006),
        regions=there,
        packages=packages(),
        boots=boots(),
    )


def a_night(*images: ImageNight, **fields: object) -> Night:
    given: dict[str, object] = {
        "id": "20261123T031700-nightly",
        "began": BEGAN,
        "ended": BEGAN + timedelta(seconds=3),
        "account": ACCOUNT,
        "endpoint": "aws",
        "images": list(images),
        "calls": 34,
    }
    return Night.model_validate(given | fields)


def quiet() -> Night:
    return a_night(unchanged("debian13"), unchanged("debian13-c25"))


def retirement() -> list[RetiredNight]:
    return [
        RetiredNight(
            step=step,
            image="debian13",
            arch="x86_64",
            region=region,
            build=f"202610{at + 10}T031700-0000{at:02x}",
            ami=ami_id(900 + at),
            reason=reason,
        )
        for at, (step, region, reason) in enumerate(
            [
                ("deprecate", HOME, "older than 14 nights, and no week's newest"),
                ("disable", "eu-west-1", "deprecated for 14 days"),
                ("deregister", "us-east-1", "disabled for 7 days; 1 snapshot"),
                ("keep", HOME, "current"),
                ("wait", "eu-west-1", "deprecated 3 days ago, 11 to go"),
            ]
        )
    ]


def busy() -> Night:
    return a_night(
        changed("debian13"),
        unchanged("alma9").model_copy(
            update={"unchecked": "appstream: its address is not known on this machine"}
        ),
        ended=BEGAN + timedelta(minutes=21, seconds=40),
        retired=retirement(),
        retire=done(8.0),
        month_before=41.3,
        month_after=38.85,
        calls=712,
    )


def red() -> Night:
    image = changed("debian13")
    down = "ec2.ap-south-1.amazonaws.com: no answer within 60 s, 5 times"
    lost = "annex-smoke-1: the job was not matched within 300 s; START is false"
    image.regions["ap-south-1"] = RegionNight(copied=failed(down, "invoke doctor"))
    for region in ("eu-west-1", "sa-east-1"):
        there = image.regions[region]
        there.smoke = failed(lost, f"invoke why i-0abc --region {region}", 301)
        there.promote = StepNight()
    other = an_image(
        "alma9-osg",
        changed=True,
        why=["a new base AMI: ami-0fedcba9876543210"],
        build="",
        bake=failed(
            "Packer failed at 'provision': step 20-htcondor: dnf: Cannot download "
            "repomd.xml: All mirrors were tried",
            "see that the repository answers, then: invoke bake --image alma9-osg",
            95,
        ),
        regions={region: RegionNight() for region in REGIONS},
        boots=boots(9),
    )
    lines = retirement()
    lines[1].error = "UnauthorizedOperation: ec2:DisableImage"
    return a_night(
        image,
        other,
        unchanged("debian13-c25"),
        ended=BEGAN + timedelta(hours=1, minutes=2),
        retired=lines,
        retire=done(8.0),
        month_before=41.3,
        month_after=38.85,
        calls=733,
    )


def huge(images: int = 10, regions: int = 4, many: int = 500) -> Night:
    """Return a night with *many* package changes in each of its images."""
    made = []
    for number in range(images):
        image = changed(f"debian13-{number}", REGIONS[:regions])
        image.packages = [
            *packages(),
            *(
                PackageNight(
                    name=f"libsomething-or-other{at}-dev",
                    old=f"1:2.{at}.0+dfsg-{number}ubuntu1",
                    new=f"1:2.{at}.1+dfsg-{number}ubuntu1",
                )
                for at in range(many - len(packages()))
            ),
        ]
        made.append(image)
    return a_night(*made, month_before=900.0, month_after=890.5)

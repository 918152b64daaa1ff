"""What can be wrong with this machine, the checkout, the registry and the pool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from annexkit.errors import UsageError
from annexkit.flows import doctor_here
from annexkit.pool.collector import About
from annexkit.pool.target import PoolError
from annexkit.registry import Registry
from tests.unit.flows.ward import (
    UNCHECKED,
    WARNING,
    WRONG,
    OurHost,
    Situation,
    Ward,
    assign,
    change,
)
from tests.unit.helpers import BUILD, NOON

PLUGIN = "/p/packer-plugin-amazon_v1.7.0_x5.0_linux_amd64\n"


def no_contract_file(ward: Ward) -> None:
    (ward.site.root / "cloud-init").unlink()
    (ward.site.root / "cloud-init").mkdir()


def no_packer(ward: Ward) -> None:
    from annexkit.bake.packer import find_packer

    ward.patch.setattr(doctor_here, "find_packer", find_packer)
    ward.set(packer={"program": "no-such-packer"})


def bad_plugin(ward: Ward) -> None:
    ward.packer((1, 11, 2), PLUGIN.replace("1.7.0", "1.8.1"))
    ward.set(packer={"amazon_plugin": "1.8.1"})


def of_registry(edit: Callable[[Registry], None]) -> Callable[[Ward], None]:
    def spoil(ward: Ward) -> None:
        ward.site.registry.update(edit)

    return spoil


def old_build(ward: Ward) -> None:
    def put(registry: Registry) -> None:
        builds = registry.images["debian13"].builds
        builds[BUILD] = builds[BUILD].model_copy(
            update={"created": NOON.replace(year=2020)}
        )

    ward.site.registry.update(put)


def new_htcondor(ward: Ward) -> None:
    def put(registry: Registry) -> None:
        builds = registry.images["debian13"].builds
        builds[BUILD] = builds[BUILD].model_copy(update={"htcondor": "25.14.1-1"})

    ward.site.registry.update(put)
    ward.about = About("P", "cm", "$CondorVersion: 23.9.6 x $", 0)


def damaged(ward: Ward) -> None:
    ward.site.registry.path.write_text('{"schema": 1,')


def amis(*found: dict[str, Any]) -> Callable[[Ward], None]:
    return lambda ward: ward.patch.setattr(
        ward.site.cloud, "describe_images", lambda *_, **__: list(found)
    )


def file_in_the_way(ward: Ward) -> None:
    (ward.site.root / "in-the-way").write_text("")
    ward.set(state_dir="in-the-way/state")


def deaf_host(ward: Ward) -> None:
    host = OurHost("25.14.1")
    host.__dict__["values"] = {
        "DAEMON_LIST": "MASTER COLLECTOR",
        "TRUST_DOMAIN": "cm.example.org",
        "UID_DOMAIN": "cm.example.org",
        "SEC_DEFAULT_AUTHENTICATION_METHODS": "FS, IDTOKENS",
        "SEC_TOKEN_POOL_SIGNING_KEY_FILE": str(Path(__file__)),
    }
    ward.host = host


SITUATIONS = [
    Situation(
        "no such recipe",
        change(bake={"image": "debain13"}),
        "recipe",
        WRONG,
        "no image 'debain13'",
        "export INVOKE_ANNEXKIT_BAKE_IMAGE=debian13",
    ),
    Situation(
        "a file of the checkout is gone",
        no_contract_file,
        "recipe",
        WRONG,
        "cannot be read",
        "git checkout -- cloud-init/builder.yaml",
    ),
    Situation(
        "no Packer",
        no_packer,
        "packer",
        WRONG,
        "Packer is not installed",
        "packer",
    ),
    Situation(
        "no plugin",
        lambda ward: ward.packer((1, 11, 2), PLUGIN),
        "amazon plugin",
        WARNING,
        "1.8.0 is not installed, but 1.7.0",
        "packer plugins install github.com/hashicorp/amazon v1.8.0",
    ),
    Situation(
        "a plugin that stalls",
        bad_plugin,
        "amazon plugin",
        WARNING,
        "full CPU",
        "INVOKE_ANNEXKIT_PACKER_AMAZON_PLUGIN=1.8.0",
    ),
    Situation(
        "a Packer that lists no plugins",
        lambda ward: ward.packer((1, 7, 10), None),
        "amazon plugin",
        UNCHECKED,
        "does not list",
        "invoke bake --dry-run",
    ),
    Situation(
        "nothing baked",
        of_registry(lambda registry: registry.images.clear()),
        "registry",
        WRONG,
        "no AMI of image 'debian13'",
        "invoke bake --image debian13 --region us-west-2",
    ),
    Situation(
        "a damaged registry",
        damaged,
        "registry",
        WRONG,
        "is not JSON",
        " checkout -- r.json",
    ),
    Situation(
        "an old AMI",
        old_build,
        "registry",
        WARNING,
        " old",
        "invoke bake --image debian13 --region us-west-2 --force",
    ),
    Situation(
        "an AMI that is gone", amis(), "ami", WRONG, "does not exist", "invoke bake"
    ),
    Situation(
        "an AMI that failed",
        amis({"State": "failed", "ImdsSupport": "v2.0"}),
        "ami",
        WRONG,
        "is failed, not available",
        "invoke bake",
    ),
    Situation(
        "an AMI with the old metadata",
        amis({"State": "available"}),
        "ami",
        WARNING,
        "does not ask for IMDSv2",
        "invoke bake",
    ),
    Situation(
        "a file where the journal goes",
        file_in_the_way,
        "state folder",
        WRONG,
        "in-the-way is no folder",
        "INVOKE_ANNEXKIT_STATE_DIR",
    ),
    Situation(
        "no pool named",
        change(pool={"collector": ""}),
        "pool settings",
        WRONG,
        "no pool is named",
        "pool.collector",
    ),
    Situation(
        "annexes as administrators",
        change(pool={"identity": "condor"}),
        "pool settings",
        WRONG,
        "administrator",
        "export INVOKE_ANNEXKIT_POOL_IDENTITY=annex",
    ),
    Situation(
        "a pool that is down",
        assign(
            about=PoolError(
                "nothing listens", where="cm", mend="systemctl start condor"
            )
        ),
        "pool",
        WRONG,
        "nothing listens",
        "systemctl start condor",
    ),
    Situation(
        "a pool too old",
        assign(about=About("P", "cm", "$CondorVersion: 8.8.5 x $", 0)),
        "pool",
        WRONG,
        "too old",
        "upgrade to 23.x",
    ),
    Situation(
        "a pool without CCB",
        assign(about=About("P", "cm", "$CondorVersion: 25.14.1 x $")),
        "pool",
        WRONG,
        "no CCB",
        "ENABLE_CCB_SERVER = True",
    ),
    Situation(
        "a pool whose clock is off",
        assign(on_time=False),
        "pool",
        WRONG,
        "its clock and this machine's differ",
        "timedatectl",
    ),
    Situation(
        "an image newer than the pool",
        new_htcondor,
        "pool",
        WRONG,
        "newer than the pool's",
        "invoke registry.list",
    ),
    Situation(
        "no token",
        assign(secret=PoolError("no token was made", where="token_command")),
        "pool secret",
        WRONG,
        "no token was made",
        "invoke pool.check",
    ),
    Situation(
        "no pool password",
        assign(secret=UsageError("there is no password", mend="invoke pool.secret")),
        "pool secret",
        WRONG,
        "no password",
        "invoke pool.secret",
    ),
    Situation(
        "a central manager that lets no annex in",
        deaf_host,
        "pool host",
        WRONG,
        "may not advertise",
        "invoke pool.config --write",
    ),
]

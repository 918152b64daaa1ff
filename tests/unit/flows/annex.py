"""Annexes in moto's EC2, as a launch leaves them, and a pool that says as told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from annexkit import annexes, tags
from annexkit.annexes import LaunchRecord, Record
from annexkit.flows import annex_pool
from annexkit.flows.site import Site
from annexkit.instances import as_tags
from annexkit.launch import parameter, policies, roles, schedule
from annexkit.launch.parameter import Parameter
from annexkit.pool.collector import Slot
from annexkit.pool.target import PoolError
from annexkit.settings import Settings
from tests.unit.helpers import ACCOUNT, BUILD, REGION

LAUNCH = "0123456789ab"
HOUR = 3600


@dataclass
class FakePool:
    """What the collector answers; ``down`` makes it refuse."""

    slots: Callable[[], list[Slot]] = field(default=lambda: [])
    down: bool = False
    asked: int = 0

    def answer(self) -> list[Slot]:
        self.asked += 1
        if self.down:
            raise PoolError("the collector does not answer", mend="start it")
        return self.slots()


def with_pool(site: Site, patch: pytest.MonkeyPatch) -> FakePool:
    """Give a site a pool of its own; no process is started."""
    site.settings = Settings.model_validate(
        site.settings.model_dump() | {"pool": {"collector": "cm.example.org"}}
    )
    fake = FakePool()

    @dataclass
    class Asked:
        pool: Any

        def slots(self, annex: str = "", launch: str = "") -> list[Slot]:
            return [s for s in fake.answer() if annex in ("", s.annex)]

    patch.setattr(annex_pool, "Collector", Asked)
    return fake


def launch(
    site: Site,
    name: str = "grid",
    count: int = 2,
    *,
    expires_in: float | None = HOUR,
    launch_id: str = LAUNCH,
    region: str = REGION,
    more: dict[str, str] | None = None,
) -> list[str]:
    """Start nodes of an annex, with its tags; return their ids."""
    made = {tags.ANNEX: name, tags.LAUNCH: launch_id, tags.FROM_BUILD: BUILD}
    made |= more or {}
    if expires_in is not None:
        made[tags.EXPIRES] = str(int(site.clock.time() + expires_in))
    image = site.cloud.call(
        region,
        "register_image",
        Name=f"base-{site.cloud.calls.total()}",
        RootDeviceName="/",
    )
    said = site.cloud.call(
        region,
        "run_instances",
        ImageId=image["ImageId"],
        MinCount=count,
        MaxCount=count,
        InstanceType="m7i.large",
        TagSpecifications=[{"ResourceType": "instance", "Tags": as_tags(made)}],
    )
    return sorted(item["InstanceId"] for item in said["Instances"])


def arm(site: Site, ids: list[str], ends: float, launch_id: str = LAUNCH) -> None:
    """Make the schedules that a launch makes."""
    schedule.ensure_group(site.cloud, REGION, poll=1, clock=site.clock)
    role = policies.scheduler_role(site.cloud, REGION)
    arn = roles.ensure(site.cloud, REGION, role, poll=1, clock=site.clock)
    ends_of = dict.fromkeys(ids, ends)
    schedule.arm(site.cloud, REGION, launch_id, ends_of, arn, poll=1, clock=site.clock)


def secret(site: Site, name: str = "grid", launch_id: str = LAUNCH) -> str:
    one = Parameter(name, launch_id, site.clock.time() + HOUR)
    parameter.put(site.cloud, REGION, one, "a secret")
    return one.name


def recorded(site: Site, name: str = "grid", **changes: Any) -> None:
    """Keep a record of the annex, as a launch does."""
    now = site.clock.time()
    values: dict[str, Any] = {
        "id": LAUNCH,
        "created": now,
        "image": "debian13",
        "build": BUILD,
        "ami": "ami-1",
        "ssh_user": "admin",
        "wanted": 2,
        "expires": now + HOUR,
        "idle": 900,
        "method": "idtokens",
        "price": {"m7i.large/on-demand": 0.1},
    }
    annexes.folder(site.state, name).write(
        Record(
            name=name,
            account=ACCOUNT,
            endpoint="aws",
            region=REGION,
            owner="alice",
            launches=[LaunchRecord.model_validate(values | changes)],
        )
    )


def living(site: Site, name: str = "grid", region: str = REGION) -> list[str]:
    return sorted(node.id for node in annexes.find(site.cloud, region, name).nodes)


def ends(site: Site, name: str = "grid") -> dict[str, float | None]:
    found = annexes.find(site.cloud, REGION, name)
    return {node.id: tags.expiry(node.tags) for node in found.nodes}


def a_slot(instance: str, **changes: Any) -> Slot:
    values: dict[str, Any] = {
        "name": f"slot1@{instance}",
        "instance_id": instance,
        "annex": "grid",
        "state": "Unclaimed",
        "cpus": 2.0,
        "authenticated_identity": "annex@example.org",
        "authentication_method": "IDTOKENS",
        "claimed_busy": 0,
        "claimed_idle": 0,
    }
    return Slot(**(values | changes))

"""A pool beside the rehearsal's cloud, annexes on it, and what tests ask of both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3

from annexkit import tags
from annexkit.commands.rehearse import pool_files
from annexkit.process import Completed, run
from annexkit.rehearsal import condor_pool
from annexkit.rehearsal.pool_host import PoolHost
from annexkit.sections import RehearsalSettings
from annexkit.waiting import wait_for
from tests.rehearsal.conftest import CACHE
from tests.stage import REGION, Place

ENDED = ("shutting-down", "terminated")
IDENTITIES = {
    "idtokens": ("IDTOKENS", "annex@pool.test"),
    "password": ("PASSWORD", "condor@password"),
}
LONG = "1h"


@dataclass(frozen=True)
class Grounds:
    """A pool host, and a place whose annexes join it."""

    place: Place
    host: PoolHost

    @property
    def method(self) -> str:
        return self.host.method

    def launch(self, name: str, count: int = 1, *flags: str) -> dict[str, Any]:
        """Launch nodes; all of them have to come into the pool."""
        asked = ("--annex-name", name, "--count", str(count), "--json")
        done = self.place.invoke("launch", *asked, *flags)
        assert done.exit_code == 0, done.stderr
        return dict(json.loads(done.stdout))

    def told(self, *arguments: str, exit_code: int = 0) -> Any:
        """Return what a command says as JSON."""
        done = self.place.invoke(*arguments, "--json")
        assert done.exit_code == exit_code, done.stderr + done.stdout
        return json.loads(done.stdout)

    def done(self, *arguments: str) -> str:
        """Run a command that has to end well, and return what it says on the way."""
        done = self.place.invoke(*arguments)
        assert done.exit_code == 0, done.stderr + done.stdout
        return done.stderr + done.stdout

    @cached_property
    def ec2(self) -> Any:
        return self.place.stage.ec2()

    def client(self, service: str) -> Any:
        session: Any = boto3.Session("test", "test", region_name=REGION)
        url = self.place.stage.rehearsal.endpoint
        return session.client(service, endpoint_url=url)

    def instances(self, name: str) -> list[dict[str, Any]]:
        """Return an annex's instances, ended ones too, as EC2 describes them."""
        wanted = [{"Name": f"tag:{tags.ANNEX}", "Values": [name]}]
        told = self.ec2.describe_instances(Filters=wanted)["Reservations"]
        return [one for reservation in told for one in reservation["Instances"]]

    def ids(self, name: str) -> list[str]:
        """Return the instances of an annex that may still bill."""
        return [
            str(one["InstanceId"])
            for one in self.instances(name)
            if one["State"]["Name"] not in ENDED
        ]

    def state(self, instance: str) -> str:
        told = self.ec2.describe_instances(InstanceIds=[instance])["Reservations"]
        return str(told[0]["Instances"][0]["State"]["Name"])

    def tag(self, instance: str, key: str) -> str:
        wanted = [{"Name": "resource-id", "Values": [instance]}]
        told = self.ec2.describe_tags(Filters=wanted)["Tags"]
        return next((str(tag["Value"]) for tag in told if tag["Key"] == key), "")

    def until_ended(self, *instances: str, timeout: float = 120) -> None:
        wait_for(
            lambda: all(self.state(one) in ENDED for one in instances),
            what=f"the end of {', '.join(instances)}",
            timeout=timeout,
            poll=0.2,
        )

    def on(
        self, instance: str, *argv: str, check: bool = True, stdin: str | None = None
    ) -> Completed:
        """Run a command as root in a node, past SSH and past annexkit."""
        machines = self.place.stage.machines()
        name = next(m["container"] for m in machines if m["instance"] == instance)
        command = ("podman", "exec", "--interactive", name, *argv)
        return run(*command, check=check, stdin=stdin, timeout=120)

    def ads(self, name: str, kind: str = "-startd") -> dict[str, dict[str, Any]]:
        """Return the ads of an annex by instance, as the pool's own tool tells them."""
        asked = ("-constraint", f'AnnexName == "{name}"', "-json")
        said = self.host.run("root", "condor_status", kind, *asked).stdout.strip()
        return {ad["EC2InstanceID"]: ad for ad in json.loads(said or "[]")}

    def until_advertised(self, name: str, *nodes: str) -> None:
        """Wait until the pool knows the whole lease of nodes, not only probation."""

        def known() -> bool:
            ads = self.ads(name)
            return all(
                ads.get(one, {}).get("AnnexLeaseExpires")
                == int(self.tag(one, tags.EXPIRES))
                for one in nodes
            )

        wait_for(known, what="the lease in the nodes' ads", timeout=60, poll=0.3)

    def also(self, settings: Mapping[str, str]) -> Grounds:
        """Return the same with more settings of annexkit."""
        more = {**self.place.more, **settings}
        return replace(self, place=replace(self.place, more=more))

    def schedules(self, launch: str = "") -> dict[str, str]:
        """Return when each schedule of a launch ends its instance, by the instance."""
        scheduler = self.client("scheduler")
        found = scheduler.list_schedules()["Schedules"]
        names = [one["Name"] for one in found if one["Name"].startswith(launch)]
        return {
            name.partition("-")[2]: scheduler.get_schedule(
                Name=name, GroupName="annexkit"
            )["ScheduleExpression"]
            for name in names
        }

    def left(self) -> list[str]:
        """Return what still costs money, or waits for annexes that are over."""
        kinds = ("instance ", "volume ")
        billed = [
            thing
            for thing in self.place.stage.inventory()
            if thing.split(" ", 1)[1].startswith(kinds)
        ]
        secrets = self.client("ssm").describe_parameters()["Parameters"]
        return [
            *billed,
            *(f"parameter {one['Name']}" for one in secrets),
            *(f"schedule {one}" for one in self.schedules()),
        ]


@contextmanager
def grounds(
    place: Place, htcondor: str, method: str, **settings: str
) -> Iterator[Grounds]:
    """Bring a pool host up for a place, and take it and all its annexes down again.

    :param settings: more of annexkit's, such as ``LAUNCH_IDLE="20s"``.
    """
    stage = place.stage
    name = f"{method}-{htcondor.replace('.', '-')}"
    files, hidden = pool_files(htcondor, method)
    files = {
        path: text.replace("cm.pool.test", f"cm-{name}.pool.test")
        for path, text in files.items()
    }
    where = RehearsalSettings(dir=str(stage.rehearsal.dir))
    host = condor_pool.pool_up(
        where,
        Path(),
        cache=CACHE,
        htcondor=htcondor,
        files=files,
        secrets=hidden,
        method=method,
        name=name,
    )
    own = {f"INVOKE_ANNEXKIT_{key}": value for key, value in settings.items()}
    try:
        yield Grounds(
            Place(stage, place.folder, {**place.more, **host.environment(), **own}),
            host,
        )
    finally:
        stage.calm()
        end_annexes(stage.ec2())
        condor_pool.pool_down(where, Path(), name)


def end_annexes(ec2: Any) -> None:
    """End whatever a test left, so that the next one begins with nothing."""
    wanted = [{"Name": "tag-key", "Values": [tags.LAUNCH]}]
    told = ec2.describe_instances(Filters=wanted)["Reservations"]
    found = [
        one["InstanceId"]
        for reservation in told
        for one in reservation["Instances"]
        if one["State"]["Name"] not in ENDED
    ]
    if found:
        ec2.terminate_instances(InstanceIds=found)

"""An annex that something happens to: its place, its pool, and what is left of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from annexkit import tags
from annexkit.commands.rehearse import pool_files
from annexkit.launch.group import NAME as GROUP
from annexkit.process import Completed, run
from annexkit.rehearsal import condor_pool, pool_host
from annexkit.rehearsal.pool_host import PoolHost
from annexkit.sections import RehearsalSettings
from annexkit.waiting import wait_for
from tests.conftest import Baked
from tests.rehearsal.conftest import CACHE
from tests.stage import REGION, SESSION, Command, Place, Stage

ANNEX = "grid"
ANSWERED = 30.0  # seconds in which a call that was held up has had its answer
ALIVE = ("pending", "running", "stopping", "stopped")


def bring_pool_up(stage: Stage) -> PoolHost:
    """Bring up the stage's pool, unless it is as it should be already."""
    files, hidden = pool_files("25.14", "idtokens")
    return condor_pool.pool_up(
        RehearsalSettings(dir=str(stage.rehearsal.dir)),
        stage.rehearsal.dir,
        cache=CACHE,
        htcondor="25.14",
        files=files,
        secrets=hidden,
        name=pool_host.DEFAULT,
    )


@dataclass(frozen=True)
class Ground:
    """Where one annex is launched, and what there was before it.

    :param before: all that costs money before anything was launched.
    :param begun: the launches that were begun.
    """

    place: Place
    pool: PoolHost
    before: frozenset[str] = field(default_factory=frozenset)
    begun: list[Command] = field(default_factory=list)

    @property
    def stage(self) -> Stage:
        return self.place.stage

    def having(self, **settings: str) -> Ground:
        """Return the same with settings of the launch in the environment."""
        more = {
            f"INVOKE_ANNEXKIT_LAUNCH_{name.upper()}": value
            for name, value in settings.items()
        }
        return replace(
            self, place=replace(self.place, more={**self.place.more, **more})
        )

    def beside(self, name: str) -> Place:
        """Return the same place for a second command, while a first one runs."""
        same = {
            "INVOKE_ANNEXKIT_REGISTRY": str(self.place.registry_path),
            "INVOKE_ANNEXKIT_STATE_DIR": str(self.place.state),
        }
        more = {**self.place.more, **same}
        return Place(self.stage, self.place.folder / name, more)

    def client(self, service: Any) -> Any:
        url = self.stage.rehearsal.endpoint
        return SESSION.client(service, region_name=REGION, endpoint_url=url)

    def fault(self, action: str, **more: Any) -> None:
        self.stage.ask("faults", "POST", [{"action": action, **more}])

    def trouble(self, **wrong: Any) -> None:
        """Let something be wrong with the first machine that is launched next."""
        self.fault("RunInstances", machines={"count": 1, **wrong}, times=1)

    def start(self, *arguments: str, count: int = 1) -> Command:
        """Begin a launch; its result is JSON."""
        named = ("--annex-name", ANNEX, "--count", str(count), "--json")
        self.begun.append(self.place.start("launch", *named, *arguments))
        return self.begun[-1]

    def launch(self, *arguments: str, count: int = 1) -> Completed:
        """Launch, to the end."""
        return self.start(*arguments, count=count).ended()

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Return the annexes' instances that are not ended, by id, as EC2 has them."""
        wanted = [
            {"Name": "tag-key", "Values": [tags.LAUNCH]},
            {"Name": "instance-state-name", "Values": list(ALIVE)},
        ]
        found = self.stage.ec2().describe_instances(Filters=wanted)["Reservations"]
        return {i["InstanceId"]: i for one in found for i in one["Instances"]}

    def secrets(self) -> list[str]:
        """Return the names of the launches' secrets in SSM."""
        found = self.client("ssm").describe_parameters()["Parameters"]
        return sorted(str(one["Name"]) for one in found)

    def schedules(self) -> list[str]:
        """Return the names of the schedules that are to end instances."""
        found = self.client("scheduler").list_schedules()["Schedules"]
        return sorted(str(one["Name"]) for one in found)

    def billed(self) -> frozenset[str]:
        """Return what the launches made and left: what costs money, and secrets."""
        made = self.stage.inventory() - self.before
        # the security group is of the set that annexes share, and is free
        costs = made - {f"{REGION} group {GROUP}"}
        return frozenset(costs | {f"secret {name}" for name in self.secrets()})

    def container(self, instance: str) -> str:
        """Return the name of an instance's machine in podman."""
        there = {m["instance"]: m["container"] for m in self.stage.machines()}
        return str(there[instance])

    def inside(self, instance: str, *argv: str) -> str:
        """Run a command on a machine, as nobody else could: past SSH."""
        name = self.container(instance)
        return run("podman", "exec", name, *argv, check=False).stdout

    def why(self, instance: str) -> Why:
        """Ask ``invoke why`` in a process of its own."""
        return Why.read(self.beside("why").invoke("why", instance, "--json"))

    def call_is_over(self, action: str, count: int = 1) -> None:
        """Wait until the cloud has answered a call that nobody waits for any more."""
        wait_for(
            lambda: self.stage.called().count(action) >= count,
            what=f"the end of {action}",
            timeout=ANSWERED,
            poll=0.1,
        )

    def all_end(self, timeout: float) -> None:
        """Wait until no instance of an annex is left, by itself."""
        wait_for(
            lambda: not self.nodes(),
            what=f"the end of {list(self.nodes())}",
            timeout=timeout,
            poll=0.5,
        )

    def clear(self) -> None:
        """Take away whatever a test left; the shared set stays."""
        for command in self.begun:  # a test that failed may have left one
            command.process.kill()
            command.process.wait()
        self.stage.calm()
        if left := list(self.nodes()):
            self.stage.ec2().terminate_instances(InstanceIds=left)
            self.all_end(60)
        for name in self.secrets():
            self.client("ssm").delete_parameter(Name=name)
        for name in self.schedules():
            self.client("scheduler").delete_schedule(Name=name, GroupName="annexkit")


@dataclass(frozen=True)
class Why:
    """What ``invoke why`` said."""

    exit_code: int
    broken: str
    mend: str
    details: dict[str, str]
    errors: str

    @classmethod
    def read(cls, done: Completed) -> Why:
        said = json.loads(done.stdout)
        details = {step["name"]: step["detail"] for step in said["steps"]}
        return cls(
            done.exit_code, said["broken"] or "", said["mend"], details, done.stderr
        )


def held(ground: Ground) -> bool:
    """The call that is held up has come, and every other fault has struck."""
    return bool(ground.stage.ask("faults") == [])


def outcome(done: Completed) -> dict[str, Any]:
    """Return the JSON of a launch that gave some nodes."""
    assert "Traceback" not in done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.fixture
def ground(
    stage: Stage, baked: Baked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ground]:
    """A place to launch from with a proved AMI, and a pool; nothing stays of it."""
    assert baked.done.exit_code == 0, baked.done.stderr
    pool = bring_pool_up(stage)
    place = baked.place.copy(tmp_path / "ground")
    for name, value in place.environment.items():
        if name.startswith(("AWS_", "NO_PROXY", "no_proxy", "CONDOR_", "INVOKE_ANNEX")):
            monkeypatch.setenv(name, value)
    Ground(place, pool).clear()
    found = Ground(place, pool, stage.inventory())
    yield found
    found.clear()

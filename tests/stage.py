"""A rehearsal, a checkout of its own, and annexkit's command line between the two.

The checkout is a copy under git: a bake from it is in nobody's way, and ``git status``
tells whether it left anything.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from annexkit import aws, settings
from annexkit.flows.site import Site
from annexkit.process import Completed, run
from annexkit.registry import Registry, RegistryFile
from annexkit.rehearsal import control
from annexkit.rehearsal.state import Rehearsal
from annexkit.waiting import SystemClock, wait_for

ROOT = Path(__file__).resolve().parent.parent
REGION = "us-west-2"
LONGEST = 300.0
SESSION = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test")
CHANGING = ("Create", "Run", "Delete", "Modify", "Terminate", "Authorize", "Import")


@dataclass(frozen=True)
class Stage:
    """One rehearsal and one checkout."""

    rehearsal: Rehearsal
    checkout: Path

    def ask(self, what: str, method: str = "GET", data: Any = None) -> Any:
        return control.ask(self.rehearsal, what, method, data)

    def calm(self) -> None:
        """No faults, no slowness, and a new record of calls."""
        self.ask("faults", "DELETE")
        self.ask("knobs", "POST", {})
        self.ask("calls", "DELETE")

    def called(self, region: str = "") -> list[str]:
        """Return the actions that were called since the last calm."""
        calls = self.ask("calls")
        return [c["action"] for c in calls if region in ("", c["region"])]

    def changing(self) -> list[str]:
        """Return the calls that change something since the last calm."""
        return [action for action in self.called() if action.startswith(CHANGING)]

    def machines(self) -> list[dict[str, Any]]:
        return list(self.ask("status")["machines"])

    def images(self) -> list[dict[str, Any]]:
        return list(self.ask("status")["images"])

    def ec2(self, region: str = REGION) -> Any:
        """Return EC2 as it is, seen past annexkit."""
        url = self.rehearsal.endpoint
        return SESSION.client("ec2", region_name=region, endpoint_url=url)

    def inventory(self, *also: str) -> frozenset[str]:
        """Return all that costs money, and groups and keys.

        In every region in which anything was made or changed since the last calm:
        nothing new can be in another one; and in those that are named.
        """
        regions = {
            call["region"]
            for call in self.ask("calls")
            if call["action"].startswith(CHANGING)
        }
        return frozenset(
            f"{region} {thing}"
            for region in regions | {REGION, *also}
            for thing in _things(self.ec2(region))
        )

    def remove_images(self, region: str, *amis: str | None) -> None:
        """Take away those of these AMIs that are still there; without any, all."""
        ec2 = self.ec2(region)
        these = [{"Name": "image-id", "Values": list(amis)}] if amis else []
        found = ec2.describe_images(Owners=["self"], Filters=these)["Images"]
        for image in found:
            ec2.deregister_image(ImageId=image["ImageId"])
            for disk in image["BlockDeviceMappings"]:
                if "SnapshotId" in disk.get("Ebs", {}):
                    ec2.delete_snapshot(SnapshotId=disk["Ebs"]["SnapshotId"])

    def git_status(self) -> str:
        return run("git", "-C", self.checkout, "status", "--porcelain").stdout


def _things(ec2: Any) -> list[str]:
    ended = ("terminated", "shutting-down")
    images = ec2.describe_images(Owners=["self"])["Images"]
    snapshots = ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    groups = ec2.describe_security_groups()["SecurityGroups"]
    return [
        *(
            f"instance {instance['InstanceId']}"
            for reservation in ec2.describe_instances()["Reservations"]
            for instance in reservation["Instances"]
            if instance["State"]["Name"] not in ended
        ),
        *(f"volume {v['VolumeId']}" for v in ec2.describe_volumes()["Volumes"]),
        *(f"image {image['ImageId']} {image['Name']}" for image in images),
        *(f"snapshot {s['SnapshotId']}" for s in snapshots),
        *(f"key {k['KeyName']}" for k in ec2.describe_key_pairs()["KeyPairs"]),
        *(f"group {g['GroupName']}" for g in groups if g["GroupName"] != "default"),
    ]


@dataclass(frozen=True)
class Place:
    """The registry and the state folder of one person at one checkout."""

    stage: Stage
    folder: Path
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def registry_path(self) -> Path:
        return self.folder / "registry" / "ami_registry.json"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def registry(self) -> Registry:
        return RegistryFile(self.registry_path).read()

    @property
    def journal(self) -> list[str]:
        return sorted(path.name for path in (self.state / "journal").glob("*"))

    @property
    def packer_log(self) -> str:
        logs = sorted(self.state.glob("builds/*/packer.log"))
        return logs[-1].read_text(errors="replace") if logs else ""

    @property
    def environment(self) -> dict[str, str]:
        """Return what the command line gets; nothing of this shell's own AWS."""
        own = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "INVOKE_ANNEXKIT"))
        }
        return {
            **own,
            **control.environment(self.stage.rehearsal),
            "INVOKE_ANNEXKIT_REGISTRY": str(self.registry_path),
            "INVOKE_ANNEXKIT_STATE_DIR": str(self.state),
            **self.more,
        }

    def start(self, *arguments: str) -> Command:
        """Start ``invoke`` in the checkout, in a session of its own."""
        self.folder.mkdir(parents=True, exist_ok=True)
        out, err = self.folder / "stdout", self.folder / "stderr"
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [str(Path(sys.executable).with_name("invoke")), *arguments],
                cwd=self.stage.checkout,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        return Command(arguments, process, out, err)

    def invoke(self, *arguments: str, timeout: float = LONGEST) -> Completed:
        """Run ``invoke`` in the checkout to its end."""
        return self.start(*arguments).ended(timeout)

    def bake(self, *arguments: str) -> Completed:
        """Run ``invoke bake``; it has to end well."""
        done = self.invoke("bake", *arguments)
        assert done.exit_code == 0, done.stderr
        return done

    def site(self, ahead: float = 0) -> Site:
        """Return the same place for calls in this process, its clock set ahead.

        Only in a test whose own environment is :attr:`environment`.
        """
        values = {
            "registry": str(self.registry_path),
            "state_dir": str(self.state),
            "poll": 0.2,
        }
        site = Site(settings.load(values), self.stage.checkout)
        site.clock = SystemClock(offset=ahead)
        site.cloud = aws.connect()
        return site

    def processes(self) -> list[str]:
        """Return what still runs for this place: annexkit, Packer and its plugins.

        They are known by an environment variable that they inherit.
        """
        mark = f"INVOKE_ANNEXKIT_STATE_DIR={self.state}\0".encode()
        return [
            command.replace(b"\0", b" ").decode(errors="replace")
            for folder in Path("/proc").iterdir()
            if folder.name.isdecimal()
            and mark in _read(folder / "environ")
            and (command := _read(folder / "cmdline"))
        ]

    def copy(self, folder: Path) -> Place:
        """Return a place with the same registry, and a state folder of its own."""
        shutil.copytree(self.registry_path.parent, folder / "registry")
        return Place(self.stage, folder, self.more)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended meanwhile
        return b""


@dataclass(frozen=True)
class Command:
    """A running ``invoke``."""

    arguments: Sequence[str]
    process: subprocess.Popen[bytes]
    stdout: Path
    stderr: Path

    def ended(self, timeout: float = LONGEST) -> Completed:
        """Wait for its end; kill it when it takes too long."""
        try:
            code = self.process.wait(timeout)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        return Completed(
            ("invoke", *self.arguments),
            code,
            self.stdout.read_text(errors="replace"),
            self.stderr.read_text(errors="replace"),
        )

    def send(self, number: signal.Signals) -> None:
        """Signal annexkit alone, not what it started."""
        self.process.send_signal(number)

    def reach(self, here: Any, what: str, timeout: float = 120) -> None:
        """Wait until the run has come to a moment; it must not end before."""

        def reached() -> bool:
            assert self.process.poll() is None, self.stderr.read_text()
            return bool(here())

        wait_for(reached, what=what, timeout=timeout, poll=0.02)


def copy_checkout(folder: Path) -> Path:
    """Copy what git knows or would know of this checkout, and commit it there."""
    listed = run(
        *("git", "-C", ROOT, "ls-files", "-z"),
        *("--cached", "--others", "--exclude-standard"),
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    git = ("git", "-C", folder)
    run(*git, "init", "--quiet")
    run(*git, "add", "--all")
    who = ("-c", "user.name=test", "-c", "user.email=test@example.invalid")
    run(*git, *who, "commit", "--quiet", "--no-verify", "--message", "as it is")
    return folder


def write_again(folder: Path, base: str) -> dict[str, str]:
    """Write a recipe that bakes anew on an AMI of ours, and return its settings.

    All steps run, and none has much to install: a bake in half the time.

    :param base: the name of the AMI.
    """
    text = (ROOT / "packer" / "images" / "debian13.pkrvars.hcl").read_text()
    for old, new in (("136693071363", "self"), ("debian-13-amd64-*", base)):
        assert old in text
        text = text.replace(old, new)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "again.pkrvars.hcl").write_text(text)
    return {
        "INVOKE_ANNEXKIT_IMAGES_DIR": str(folder),
        "INVOKE_ANNEXKIT_BAKE_IMAGE": "again",
    }

"""A checkout, an account and a pool from which ``invoke launch`` would go well."""

from __future__ import annotations

import base64
import json
import socket
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.client import BaseClient
from moto.ec2.models.amis import Ami

from annexkit import tags
from annexkit.annexes import LaunchRecord, Record, folder
from annexkit.aws import connect
from annexkit.flows import launch_plan
from annexkit.instances import as_tags
from annexkit.pool.collector import About
from annexkit.registry import Registry, RegistryFile, State
from annexkit.registry.edits import promote, put_build, set_candidate
from tests.faults.bad_places import free_port
from tests.faults.command import REGISTRY, Said, Scene, ec2
from tests.unit.helpers import ACCOUNT, AMI, BUILD, REGION, a_build, in_region

GRID = ("--annex-name", "grid")
LAUNCH = "0123456789ab"
TYPE = "m7i.large"
POOL = "25.14.1"
ASKING = ("Describe", "Get", "List")
SCOPES = "condor:/READ condor:/ADVERTISE_MASTER condor:/ADVERTISE_STARTD"


@dataclass
class LaunchScene(Scene):
    """What is typed there ends well, until something is done.

    :ivar changing: the calls that would change something in AWS, as they were made.
    """

    changing: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.stock()
        self._listen()
        self.pool_says(POOL)
        self.token()
        for name, value in {
            "POOL_COLLECTOR": f"{socket.gethostname()}:{free_port()}",
            "POOL_TRUST_DOMAIN": "example.org",
            "LAUNCH_INSTANCE_TYPES": TYPE,
            "LAUNCH_HOURLY_PRICE": f"{TYPE}=0.10",
            "LAUNCH_SSH_CIDRS": "192.0.2.7/32",
            "LAUNCH_OWNER": "alice",
        }.items():
            self.setting(name, value)

    def setting(self, name: str, value: str) -> None:
        self.set(f"INVOKE_ANNEXKIT_{name}", value)

    def stock(self, state: State = State.READY, version: str = POOL) -> None:
        """Have one build of debian13 in the registry, current where it is ready."""

        def change(registry: Registry) -> None:
            there = {REGION: in_region(state)}
            build = a_build(there, created=datetime.now(UTC))
            build.htcondor = version
            put_build(registry, "debian13", BUILD, build)
            set_candidate(registry, "debian13", BUILD, REGION)
            if state is State.READY:
                promote(registry, "debian13", BUILD, REGION)

        self.claim(ACCOUNT, "aws")
        RegistryFile(self.root / REGISTRY).update(change)
        ec2().amis[AMI] = Ami(ec2(), AMI, name="annexkit-debian13")

    def pool_says(self, version: str) -> None:
        """Let a launch hear this of the pool, from no process and no port."""

        @dataclass
        class Asked:
            pool: Any

            def about(self) -> About:
                return About(version=f"$CondorVersion: {version} $", ccb_targets=0)

        self.patch.setattr(launch_plan, "Collector", Asked)

    def prints(self, printed: str, status: int = 0, said: str = "") -> None:
        """Let the command that makes tokens print this."""
        answer = self.write("token", printed)
        words = f"cat {answer}\necho '{said}' >&2\nexit {status}\n"
        script = self.write("mint", f"#!/bin/sh\n{words}", 0o755)
        self.setting("POOL_TOKEN_COMMAND", str(script))

    def token(self, **changed: Any) -> None:
        """Let it print a token as a launch asks for it, but for what is changed."""
        lease, grace = 7200, 3600
        claims = {"sub": "annex@example.org", "scope": SCOPES, "iat": 0}
        claims |= {"exp": lease + grace, **changed}
        coded = [
            base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
            for part in ({"alg": "HS256"}, {k: v for k, v in claims.items() if v != ""})
        ]
        self.prints(".".join([*coded, "c2lnbmF0dXJl\n"]))

    def nodes(self, count: int = 1) -> None:
        """Let annex grid have nodes."""
        made = {tags.ANNEX: "grid", tags.LAUNCH: LAUNCH, tags.EXPIRES: "2000000000"}
        self.ask(
            "run_instances",
            ImageId=AMI,
            MinCount=count,
            MaxCount=count,
            InstanceType=TYPE,
            TagSpecifications=[{"ResourceType": "instance", "Tags": as_tags(made)}],
        )

    def ask(self, method: str, service: str = "ec2", **arguments: Any) -> Any:
        """Ask AWS, past the command line."""
        return connect().call(REGION, method, service=service, **arguments)

    def record(self) -> None:
        """Keep a record of annex grid, as its launch did."""
        launch = LaunchRecord(
            id=LAUNCH,
            created=1_700_000_000.0,
            image="debian13",
            build=BUILD,
            ami=AMI,
            ssh_user="admin",
            wanted=1,
            expires=2_000_000_000.0,
            idle=900,
            method="idtokens",
        )
        folder(self.root / "state", "grid").write(
            Record(
                name="grid",
                account=ACCOUNT,
                endpoint="aws",
                region=REGION,
                owner="alice",
                launches=[launch],
            )
        )

    def run(self, *argv: str) -> Said:
        """Run ``invoke`` in the checkout; what its deed changed is not counted."""
        self.changing.clear()
        return super().run(*argv)

    def _listen(self) -> None:
        real = vars(BaseClient)["_make_api_call"]

        def call(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
            if not operation.startswith(ASKING) and not arguments.get("DryRun"):
                self.changing.append(operation)
            return real(client, operation, arguments)

        self.patch.setattr(BaseClient, "_make_api_call", call)

"""An account and a machine on which the doctor finds nothing wrong, to be broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from annexkit.aws import AwsError
from annexkit.bake.packer import Packer
from annexkit.errors import AnnexkitError, Exit
from annexkit.flows import doctor_here, pool_check
from annexkit.flows.doctor import DoctorRequest, doctor
from annexkit.flows.site import Site
from annexkit.launch import roles
from annexkit.launch.policies import node_role, scheduler_role
from annexkit.pool.collector import About
from annexkit.pool.credentials import Secret
from annexkit.pool.host import Host
from annexkit.pool.target import Pool
from tests.unit.flows.launching import Told, settings, stock
from tests.unit.helpers import ACCOUNT, REGION

USER = f"arn:aws:iam::{ACCOUNT}:user/alice"
ABOUT = About("My Pool", "cm.example.org", "$CondorVersion: 25.14.1 x $", 0)
Answer = Callable[..., Any]


def refused(code: str, action: str = "Some", what: str = "no") -> AwsError:
    return AwsError(what, code=code, action=action, region=REGION, refused=True)


def unreached(code: str = "EndpointConnectionError") -> AwsError:
    return AwsError("no way there", code=code, action="Some", region=REGION)


class OurHost(Host):
    """A central manager whose configuration is a dict of the test's."""

    values: dict[str, str]

    def value(self, name: str, subsystem: str = "") -> str:
        return self.values.get(name, "")


@dataclass
class Ward:
    """``told``: what AWS answers to boto3's method names, else moto does.

    An error in ``told`` is raised; a function is called with the arguments.
    """

    site: Site
    patch: pytest.MonkeyPatch
    console: Told
    ami: str
    told: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    flags: dict[str, Any] = field(default_factory=dict)
    region: str = ""
    ahead: float = 0.0
    denied: dict[str, dict[str, Any]] = field(default_factory=dict)
    about: About | AnnexkitError = ABOUT
    on_time: bool = True
    secret: AnnexkitError | None = None
    host: Host | None = None
    vpc: str = ""

    def __post_init__(self) -> None:
        cloud = self.site.cloud
        self._call, self._pages = cloud.call, cloud.pages
        self.patch.setattr(cloud, "call", self.call)
        self.patch.setattr(cloud, "pages", self.pages)
        self.patch.setattr(cloud, "date", self.date)
        self.told |= {
            "get_caller_identity": {"Arn": USER, "Account": ACCOUNT},
            "simulate_principal_policy": self._simulated,
            "get_service_quota": {"Quota": {"Value": 64.0}},
        }

    def call(self, region: str, method: str, **arguments: Any) -> Any:
        self.calls.append((method, dict(arguments)))
        if method in self.told:
            return self._answer(method, arguments)
        return self._call(region, method, **arguments)

    def pages(self, region: str, method: str, key: str, **arguments: Any) -> Any:
        self.calls.append((method, dict(arguments)))
        if method in self.told:
            return iter(self._answer(method, arguments))
        return self._pages(region, method, key, **arguments)

    def real(self, method: str, **arguments: Any) -> Any:
        """Make a call that the doctor does not make."""
        return self._call(REGION, method, **arguments)

    def _answer(self, method: str, arguments: dict[str, Any]) -> Any:
        found = self.told[method]
        if isinstance(found, Exception):
            raise found
        return found(**arguments) if callable(found) else found

    def _simulated(self, **asked: Any) -> dict[str, Any]:
        allowed = {"EvalDecision": "allowed"}
        results = [
            {"EvalActionName": action} | self.denied.get(action, allowed)
            for action in asked["ActionNames"]
        ]
        return {"EvaluationResults": results, "IsTruncated": False}

    def date(self, region: str) -> float:
        return self.site.clock.time() + self.ahead

    def set(self, launch: Any = None, pool: Any = None, **more: Any) -> None:
        """Give the site other settings."""
        settings(self.site, launch, pool)
        if more:
            values = self.site.settings.model_dump()
            for section, changes in more.items():
                old = values.get(section)
                values[section] = (old | changes) if isinstance(old, dict) else changes
            self.site.settings = type(self.site.settings).model_validate(values)

    def examined(self) -> dict[str, Any]:
        """Run the doctor; return its page as data."""
        code = doctor(self.site, DoctorRequest(self.region, self.flags))
        (said,) = self.console.results
        assert said["exit"] == code
        assert code in (Exit.DONE, Exit.FAILED)
        found: dict[str, Any] = said
        return found

    def collector(self, _: Pool) -> Any:
        ward = self

        class Asked:
            def about(self) -> About:
                if isinstance(ward.about, AnnexkitError):
                    raise ward.about
                return ward.about

            def clock_within(self, *_: float) -> bool:
                return ward.on_time

        return Asked()

    def new_secret(self, pool: Pool, lifetime: float) -> Secret:
        if self.secret:
            raise self.secret
        return Secret("x.y.z", pool.method, pool.identity, 1.0)

    def packer(self, version: tuple[int, int, int], listed: str | None = None) -> None:
        """Install another Packer, and let it list these plugins."""
        found = Packer("/usr/bin/packer", version)
        self.patch.setattr(doctor_here, "find_packer", lambda _: found)
        self.patch.setattr(doctor_here, "_listed", lambda _: listed)


def a_ward(site: Site, patch: pytest.MonkeyPatch) -> Ward:
    """Return a site of which the doctor finds nothing wrong."""
    settings(site)
    site.console = console = Told()
    ami = stock(site)
    (site.root / "state").mkdir(exist_ok=True)
    ward = Ward(site, patch, console, ami)
    patch.setattr(pool_check, "Collector", ward.collector)
    patch.setattr(pool_check, "new_secret", ward.new_secret)
    patch.setattr(pool_check, "this_host", lambda: ward.host)
    ward.packer((1, 6, 6))
    image = {"ImageId": ami, "State": "available", "ImdsSupport": "v2.0"}
    patch.setattr(site.cloud, "describe_images", lambda *_, **__: [image])
    ward.vpc = _way_out(ward)
    for role in (node_role, scheduler_role):
        wanted = role(site.cloud, REGION)
        roles.ensure(site.cloud, REGION, wanted, poll=1, clock=site.clock)
    del site.cloud.__dict__["account"]  # what making them asked for
    ward.calls.clear()
    return ward


def _way_out(ward: Ward) -> str:
    """Give the default VPC what AWS gives it: an internet gateway and the route."""
    filters = [{"Name": "is-default", "Values": ["true"]}]
    [vpc] = ward.real("describe_vpcs", Filters=filters)["Vpcs"]
    gateway = ward.real("create_internet_gateway")["InternetGateway"]
    name, vpc_id = gateway["InternetGatewayId"], str(vpc["VpcId"])
    ward.real("attach_internet_gateway", InternetGatewayId=name, VpcId=vpc_id)
    ward.real(
        "create_route",
        RouteTableId=main_table(ward, vpc_id),
        DestinationCidrBlock="0.0.0.0/0",
        GatewayId=name,
    )
    return vpc_id


def main_table(ward: Ward, vpc: str) -> str:
    """Return the id of a VPC's main route table."""
    asked = {"vpc-id": [vpc], "association.main": ["true"]}
    filters = [{"Name": name, "Values": values} for name, values in asked.items()]
    [table] = ward.real("describe_route_tables", Filters=filters)["RouteTables"]
    return str(table["RouteTableId"])


def private_key(folder: Path, mode: int = 0o400) -> Path:
    """Make a private key file with this mode."""
    from annexkit import ssh

    path = folder / "mine"
    ssh.new_key(path)
    path.chmod(mode)
    return path


WRONG, WARNING, UNCHECKED = "wrong", "warning", "not checked"
IMPLICIT = {"EvalDecision": "implicitDeny"}


@dataclass(frozen=True)
class Situation:
    """One thing that is wrong; ``words`` and ``mend`` are parts of the line."""

    name: str
    spoil: Callable[[Ward], Any]
    check: str
    status: str
    words: str
    mend: str


def tell(method: str, answer: Any) -> Callable[[Ward], None]:
    return lambda ward: ward.told.update({method: answer})


def deny(action: str, **how: Any) -> Callable[[Ward], None]:
    return lambda ward: ward.denied.update({action: IMPLICIT | how})


def change(**settings: Any) -> Callable[[Ward], None]:
    return lambda ward: ward.set(**settings)


def assign(**values: Any) -> Callable[[Ward], None]:
    def spoil(ward: Ward) -> None:
        for name, value in values.items():
            setattr(ward, name, value)

    return spoil

"""What the doctor looks at, and what several of its checks start from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any, TypeVar

from annexkit import network
from annexkit.aws import AwsError, Cloud
from annexkit.bake.recipe import Image
from annexkit.doctor.lines import Missing
from annexkit.doctor.place import ENABLED
from annexkit.errors import AnnexkitError
from annexkit.flows import bake_plan, launch_request
from annexkit.flows.launch_request import Chosen, LaunchRequest
from annexkit.flows.site import Site
from annexkit.launch.offers import Offers, offers
from annexkit.pool.target import Pool
from annexkit.sections import LaunchSettings

T = TypeVar("T")


@dataclass
class Once:
    """Answers that several threads want, each asked for once; an error is an answer."""

    _lock: Lock = field(default_factory=Lock)
    _each: dict[str, Lock] = field(default_factory=dict)
    _told: dict[str, tuple[Any, AnnexkitError | None]] = field(default_factory=dict)

    def get(self, name: str, ask: Callable[[], T]) -> T:
        """Return what *ask* told the first time.

        :raises AnnexkitError: what it raised the first time.
        """
        with self._lock:
            lock = self._each.setdefault(name, Lock())
        with lock:
            if name not in self._told:
                try:
                    self._told[name] = (ask(), None)
                except AnnexkitError as error:
                    self._told[name] = (None, error)
        value, failed = self._told[name]
        if failed is not None:
            raise failed
        told: T = value
        return told


@dataclass(frozen=True)
class Caller:
    """Who AWS says we are. ``key_id``: of the access key; ``method``: whence it is."""

    arn: str
    account: str
    key_id: str
    method: str
    endpoint: str


@dataclass
class Subject:
    """A site, and the launch that it should be fit for.

    Each of the methods below belongs to one check, which says what is wrong with it;
    others go through :meth:`after`.
    """

    site: Site
    launch: LaunchSettings
    region: str
    _once: Once = field(default_factory=Once)

    @cached_property
    def _of_settings(self) -> LaunchRequest:
        return LaunchRequest({}, region=self.region)

    def after(self, check: str, ask: Callable[[], T]) -> T:
        """Return what *ask* gives to a check that starts from another one's.

        :raises Missing: there is nothing to start from; that other check says why.
        """
        try:
            return ask()
        except AnnexkitError:
            raise Missing(check) from None

    def cloud(self) -> Cloud:
        """The session (check ``identity``).

        :raises AwsError: the profile or the configuration file is unusable.
        """
        return self._once.get("cloud", lambda: self.site.cloud)

    def known_region(self) -> str:
        """The region, if botocore knows it (check ``region``).

        :raises UsageError: it does not.
        """

        def known() -> str:
            self.after("identity", self.cloud).check_regions((self.region,))
            return self.region

        return self._once.get("region", known)

    def caller(self) -> Caller:
        """Who we are (check ``identity``).

        :raises AwsError: there are no credentials, or AWS does not take them.
        """
        return self._once.get("caller", self._caller)

    def here(self) -> Cloud:
        """The cloud, once there are credentials and a region that answers.

        :raises Missing: one of the two is not there.
        """
        self.after("identity", self.caller)
        self.after("region", self.known_region)
        try:
            enabled = self.opt_in() in ENABLED
        except AwsError:  # the check "region" says so; others may be answered
            enabled = True
        if not enabled:
            raise Missing("region")
        return self.cloud()

    def opt_in(self) -> str:
        """The region's OptInStatus, empty when AWS does not list it (check ``region``).

        :raises Missing: there are no credentials.
        :raises AwsError: EC2 refused to say.
        """
        self.after("identity", self.caller)
        return self._once.get("opt-in", self._opt_in)

    def image(self) -> Image:
        """The recipe (check ``recipe``).

        :raises AnnexkitError: it cannot be read.
        """
        bake = self.site.settings.bake
        return self._once.get(
            "image", lambda: bake_plan.read_image(self.site, bake.image)
        )

    def chosen(self) -> Chosen:
        """The AMI that a launch would take (check ``registry``).

        :raises AnnexkitError: there is none, or recipe or registry cannot be read.
        """
        return self._once.get(
            "chosen",
            lambda: launch_request.choose(
                self.site, self._of_settings, self.launch.channel, self.region
            ),
        )

    def offered(self) -> Offers:
        """Subnets and instance types (check ``network``).

        :raises AwsError: EC2 refused to say.
        """
        return self._once.get("offered", self._offers)

    def vpc(self) -> str:
        """The VPC of the nodes.

        :raises Missing: there is none; the check ``network`` says why.
        """
        found = self.after("network", self.offered).vpc
        if not found:
            raise Missing("network")
        return found

    def ssh_sources(self) -> tuple[str, ...]:
        """Who may use SSH (check ``ssh sources``).

        :raises AnnexkitError: none is named and our own address is not known.
        """
        return self._once.get(
            "ssh sources",
            lambda: network.ssh_sources(
                self.launch.ssh_cidrs, where="launch.ssh_cidrs"
            ),
        )

    def pool(self) -> Pool:
        """The pool of the settings (check ``pool settings``).

        :raises FindingsError: they name none that can be used.
        """
        return self._once.get("pool", lambda: Pool.of(self.site.settings.pool))

    def _caller(self) -> Caller:
        cloud = self.cloud()
        region = cloud.session.region_name or "us-east-1"
        # Without retries: a person waits, and all that asks AWS starts from this.
        said = cloud.call(region, "get_caller_identity", service="sts", launch=True)
        found = cloud.session.get_credentials()
        return Caller(
            arn=str(said["Arn"]),
            account=cloud.account,
            key_id=str(found.access_key) if found else "",
            method=str(found.method) if found else "",
            endpoint=cloud.endpoint,
        )

    def _opt_in(self) -> str:
        # Asked from where we are at home: a region that is not enabled does not answer.
        home = self.cloud().session.region_name or self.region
        asked: dict[str, Any] = {"RegionNames": [self.region], "AllRegions": True}
        try:
            found = self.cloud().call(home, "describe_regions", **asked)["Regions"]
        except AwsError as error:
            if error.code == "AuthFailure":  # STS knows us, and EC2 there does not
                return "not-opted-in"
            if error.code == "InvalidParameterValue":
                return ""
            raise
        return next((str(said.get("OptInStatus", "")) for said in found), "")

    def _offers(self) -> Offers:
        return offers(
            self.here(),
            self.region,
            types=self.launch.instance_types,
            subnets=self.launch.subnets,
            arch=self.site.settings.bake.arch,
            market=self.launch.market,
        )

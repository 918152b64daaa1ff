"""What a user's account has besides machines: its regions, its quotas, its rights.

The access key of the environment is the account's own and may do everything. Policies
of IAM users are simulated on request, not enforced; quotas are told, not enforced.
Source: the API references of Account Management, Service Quotas and IAM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from threading import Lock
from typing import Any

import botocore.session

from annexkit.rehearsal.access import Guard, judged
from annexkit.rehearsal.site import Site
from annexkit.rehearsal.wire import ApiError, Call, Element, put, result, text_of

Handler = Callable[[Call], Element | dict[str, Any] | None]
OPTIONAL = "not-opted-in"  # so moto tells every region that one has to enable
# vCPUs of the standard families, on demand and spot; a machine here stands for two.
QUOTAS = {
    "L-1216C47A": "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
    "L-34B43A08": "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests",
}
VCPUS = 2
# How STS names whoever has a key that IAM does not know.
OURSELVES = ":user/moto"


class Account:
    """Regions that may be disabled, quotas that may be raised, and IAM's simulation."""

    def __init__(self, site: Site, guard: Guard) -> None:
        self._site = site
        self._guard = guard
        self._lock = Lock()
        self._disabled: set[str] = set()
        self._raised: dict[tuple[str, str], float] = {}

    @property
    def handlers(self) -> dict[str, Mapping[str, Handler]]:
        """What answers each service's actions; moto answers the others."""
        return {
            "account": {
                "DisableRegion": self.disable_region,
                "EnableRegion": self.enable_region,
            },
            "iam": {"SimulatePrincipalPolicy": self.simulate},
            "servicequotas": {
                "GetServiceQuota": self.get_quota,
                "RequestServiceQuotaIncrease": self.raise_quota,
            },
        }

    def check_region(self, call: Call) -> None:
        """Refuse a region that AWS does not have, and one that is not enabled.

        :raises ApiError: as EC2 refuses it.
        """
        if call.service != "ec2":
            return
        if call.region not in known_regions() or call.region in self._disabled:
            raise ApiError(
                "AuthFailure",
                "AWS was not able to validate the provided access credentials",
                401,
            )

    def describe_regions(self, call: Call) -> Element:
        """DescribeRegions: of this partition, all of them enabled but for a few."""
        root = self._site.moto.ask(call.without("AllRegions"))
        listed = root.find("regionInfo")
        for item in list(listed if listed is not None else ()):
            name = text_of(item, "regionName")
            disabled = name in self._disabled
            hidden = disabled and not call.true("AllRegions")
            if listed is not None and (hidden or name not in known_regions()):
                listed.remove(item)
            elif text_of(item, "optInStatus") == OPTIONAL and not disabled:
                put(item, "optInStatus", "opted-in")
        return root

    def enable_region(self, call: Call) -> dict[str, Any]:
        """EnableRegion: at once, where AWS takes minutes."""
        self._optional(call)
        with self._lock:
            self._disabled.discard(call.get("RegionName"))
        return {}

    def disable_region(self, call: Call) -> dict[str, Any]:
        """DisableRegion: at once; what is there stays there."""
        self._optional(call)
        with self._lock:
            self._disabled.add(call.get("RegionName"))
        return {}

    def _optional(self, call: Call) -> None:
        """Refuse a region that is always enabled, or that there is not."""
        told = self._site.moto.ec2("us-east-1", "DescribeRegions")
        known = {
            text_of(one, "regionName"): text_of(one, "optInStatus")
            for one in told.iterfind("regionInfo/item")
        }
        name = call.get("RegionName")
        if known.get(name) != OPTIONAL:
            said = f"{name} is no region that can be enabled or disabled."
            raise ApiError("ValidationException", said)

    def get_quota(self, call: Call) -> dict[str, Any] | None:
        """GetServiceQuota: of EC2's vCPUs; moto knows those of VPCs."""
        return None if call.get("ServiceCode") != "ec2" else {"Quota": self._told(call)}

    def raise_quota(self, call: Call) -> dict[str, Any] | None:
        """RequestServiceQuotaIncrease: granted at once, where AWS takes days."""
        now, wanted = self._told(call), float(call.get("DesiredValue", "0"))
        if wanted <= now["Value"]:
            said = f"The desired value is not above the current one, {now['Value']:g}."
            raise ApiError("IllegalArgumentException", said)
        with self._lock:
            self._raised[(call.region, call.get("QuotaCode"))] = wanted
        kept = {key: now[key] for key in ("ServiceCode", "QuotaCode", "QuotaName")}
        asked = {"Id": "rehearsal", "Status": "APPROVED", "DesiredValue": wanted}
        return {"RequestedQuota": {**kept, **asked}}

    def _told(self, call: Call) -> dict[str, Any]:
        code = call.get("QuotaCode")
        if call.get("ServiceCode") != "ec2" or code not in QUOTAS:
            said = "The request failed because the specified quota does not exist."
            raise ApiError("NoSuchResourceException", said)
        room = float(VCPUS * self._site.rehearsal.machines)
        return {
            "ServiceCode": "ec2",
            "QuotaCode": code,
            "QuotaName": QUOTAS[code],
            "Value": self._raised.get((call.region, code), room),
            "Adjustable": True,
            "GlobalQuota": False,
        }

    def simulate(self, call: Call) -> Element:
        """SimulatePrincipalPolicy: each action on each resource; conditions are met.

        :raises ApiError: there is no such user or role.
        """
        policy = self._policies(call.get("PolicySourceArn"))
        root = result(call.action)
        found = Element("EvaluationResults")
        for action in call.members("ActionNames.member"):
            for resource in call.members("ResourceArns.member") or ["*"]:
                one = Element("member")
                put(one, "EvalActionName", action)
                put(one, "EvalResourceName", resource)
                put(one, "EvalDecision", judged(policy, action, resource))
                found.append(one)
        told = Element(f"{call.action}Result")
        put(told, "IsTruncated", "false")
        told.append(found)
        root.append(told)
        return root

    def _policies(self, arn: str) -> list[Mapping[str, Any]]:
        kind, _, name = arn.rpartition(":")[2].partition("/")
        name = name.rpartition("/")[2]
        if kind == "role":
            return self._guard.statements_of("Role", name)
        if arn.endswith(OURSELVES):
            return [{"Effect": "Allow", "Action": "*", "Resource": "*"}]
        groups = self._guard.groups_of(name)
        own = self._guard.statements_of("User", name)
        return [*own, *self._of_groups(groups)]

    def _of_groups(self, groups: Iterable[str]) -> list[Mapping[str, Any]]:
        return [s for one in groups for s in self._guard.statements_of("Group", one)]


@cache
def known_regions() -> frozenset[str]:
    """Return the regions that have EC2."""
    session = botocore.session.Session()
    return frozenset(session.get_available_regions("ec2"))

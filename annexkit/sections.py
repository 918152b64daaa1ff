"""The parts of the settings as models; ``invoke.yaml`` documents every key.

What a value may look like is checked here; ``settings`` says what is wrong, and where.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(value: object) -> float:
    """Read a duration: a number of seconds, or ``90s``, ``15m``, ``2h``, ``7d``.

    :raises ValueError: neither form.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(value).strip())
    if not match:
        raise ValueError("not a duration: write 90s, 15m, 2h or 7d")
    return float(match[1]) * UNITS.get(match[2], 1)


def listed(value: object) -> object:
    """Read a list; an environment variable gives it as words with commas."""
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    return value


def priced(value: object) -> object:
    """Read prices: ``m7i.large=0.1008, t3.small=0.0208``, or a section of them.

    :raises ValueError: a word is not TYPE=NUMBER.
    """
    words = listed(value)
    if not isinstance(words, list):
        return words
    found = [str(word).partition("=") for word in words]
    if any(not name or not price for name, _, price in found):
        raise ValueError("not prices: write m7i.large=0.1008, t3.small=0.0208")
    return {name: price for name, _, price in found}


def shaped(pattern: str, says: str) -> AfterValidator:
    """Return a validator that wants *pattern* and says in words what that is."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"not {says}")
        return value

    return AfterValidator(check)


Duration = Annotated[float, BeforeValidator(seconds), Field(ge=0, allow_inf_nan=False)]
Pace = Annotated[float, BeforeValidator(seconds), Field(ge=0.05, le=600)]
Words = Annotated[tuple[str, ...], BeforeValidator(listed)]
Region = Annotated[str, shaped(r"[a-z]{2,}(-[a-z]+)+-\d", "a region: us-west-2")]
Prefix = Annotated[
    str, shaped(r"[a-z][a-z0-9-]{1,30}", "2 to 31 of a-z, 0-9 and -, a letter first")
]
PoolVersion = Annotated[
    str, shaped(r"|\d+\.\d+(\.\d+)?", "HTCondor's version in quotes: '23.9'")
]
Version = Annotated[str, shaped(r"\d+\.\d+\.\d+", "an exact version: 1.8.0")]
Regions = Annotated[tuple[Region, ...], BeforeValidator(listed)]
AnnexName = Annotated[
    str, shaped(r"[A-Za-z0-9-]{1,27}", "1 to 27 of A-Z, a-z, 0-9 and -")
]
Owner = Annotated[
    str, shaped(r"[A-Za-z0-9_.@-]{0,64}", "a user's name: letters, digits and _.@-")
]
# "owner" stands for the annex's owner, "*" for everybody.
User = Annotated[
    str, shaped(r"\*|[A-Za-z0-9_.@-]{1,64}", "a user's name, 'owner' or '*'")
]
Users = Annotated[tuple[User, ...], BeforeValidator(listed), Field(min_length=1)]
Variable = Annotated[
    str, shaped(r"[A-Za-z_][A-Za-z0-9_]*", "the name of an environment variable")
]
Market = Literal["on-demand", "spot", "spot-then-on-demand"]
Money = Annotated[float, Field(ge=0, allow_inf_nan=False)]  # USD an hour
Prices = Annotated[Mapping[str, Money], BeforeValidator(priced)]


class Section(BaseModel):
    """A part of the settings; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BakeSettings(Section):
    """What ``invoke bake`` uses when a flag does not say."""

    image: str = "debian13"
    regions: Regions = ("us-west-2",)
    arch: Literal["x86_64", "arm64"] = "x86_64"
    deadline: Duration = 7200
    name_prefix: Prefix = "annexkit"
    subnet_id: str = ""
    ssh_cidrs: Words = ()
    image_poll: Pace = 30
    image_timeout: Duration = 3600


class PackerSettings(Section):
    """Which Packer, and which amazon plugin the newer template dialect pins."""

    program: str = "packer"
    amazon_plugin: Version = "1.8.0"


class SshSettings(Section):
    """How nodes are reached."""

    interface: Literal["public_ip", "private_ip"] = "public_ip"
    timeout: Duration = 300


class ProveSettings(Section):
    """The fresh boot that a build must pass before it becomes current."""

    instance_type: str = ""
    boot_timeout: Duration = 600
    lifetime: Duration = 1800
    smoke_types: Annotated[Words, Field(min_length=1)] = (
        *("t3.micro", "t3.small", "m7i.large"),
        *("t4g.micro", "t4g.small", "m7g.large"),
    )
    smoke_idle: Annotated[Duration, Field(ge=10)] = 180


class PublishSettings(Section):
    """How a proved build gets into other regions."""

    regions: Regions = ()
    kms_key: str = ""
    copy_timeout: Duration = 7200
    parallel: Annotated[int, Field(ge=1, le=64)] = 32


class LaunchSettings(Section):
    """What ``invoke launch`` uses when a flag does not say."""

    annex_name: AnnexName = "annex"
    count: Annotated[int, Field(ge=1, le=10_000)] = 1
    channel: Literal["current", "previous", "candidate"] = "current"
    instance_types: Words = ("m7i.large", "m6i.large", "m6a.large")
    market: Market = "on-demand"
    lease: Duration = 7200
    idle: Duration = 900
    owner: Owner = ""
    users: Users = ("owner",)
    max_hourly_cost: Money = 0.0
    hourly_price: Prices = Field(default_factory=dict)
    subnets: Words = ()
    ssh_cidrs: Words = ()
    key_name: str = ""
    key_file: str = ""
    boot_timeout: Duration = 600
    join_timeout: Duration = 600
    spot_timeout: Duration = 120
    capacity_pause: Duration = 600
    outdated_after: Duration = 30 * 86400
    lease_poll: Pace = 60
    drain: Duration = 600
    parallel: Annotated[int, Field(ge=1, le=200)] = 64
    scheduler: bool = True


class PoolSettings(Section):
    """The pool that annexes join, and where its secrets come from."""

    collector: str = ""
    version: PoolVersion = ""
    method: Literal["idtokens", "password"] = "idtokens"
    trust_domain: str = ""
    uid_domain: str = ""
    identity: str = "annex"
    token_command: str = ""
    token_grace: Duration = 3600
    password_file: str = "/etc/condor/condor_pool_password"  # noqa: S105 - a path
    ccb: bool = True
    cidrs: Words = ()
    update_interval: Duration = 300


class IamSettings(Section):
    """Whose jobs on GitHub may take the nightly role."""

    repository: str = ""
    branch: str = "main"


class ReapSettings(Section):
    """What ``invoke reap`` may take, and when."""

    min_age: Duration = 7200
    regions: Regions = ()


class RetireSettings(Section):
    """Which old builds ``invoke retire`` keeps, and how it ends the others."""

    keep: str = "14 nights, 8 weeks, current and previous always"
    grace: Annotated[Duration, Field(ge=3600)] = 14 * 86400
    disabled: Annotated[Duration, Field(ge=3600)] = 7 * 86400
    most: Annotated[int, Field(ge=1, le=10_000)] = 20
    no_pool: bool = False
    snapshot_price: Money = 0.05


class NightlySettings(Section):
    """What ``invoke nightly`` does by itself, and whom it tells."""

    rebuild_after: Duration = 7 * 86400
    images: Words = ()
    bakes: Annotated[int, Field(ge=1, le=64)] = 2
    notify: Literal["always", "changes", "red", "never"] = "changes"
    webhook_env: Variable = "ANNEXKIT_WEBHOOK"


class RehearsalSettings(Section):
    """The cloud on this machine."""

    dir: str = ".rehearsal"
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    subnet: str = "auto"
    suite: str = "trixie"
    machines: Annotated[int, Field(ge=1, le=64)] = 16

"""The site's settings: the ``annexkit`` section of Invoke's configuration.

``invoke.yaml`` documents every key where it stands. Invoke merges files, environment
variables (``INVOKE_ANNEXKIT_BAKE_IMAGE``) and ``-f``; this module only checks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from annexkit.errors import Finding, FindingsError, Level, UsageError, nearest

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
Version = Annotated[str, shaped(r"\d+\.\d+\.\d+", "an exact version: 1.8.0")]
Regions = Annotated[tuple[Region, ...], BeforeValidator(listed)]


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


class ReapSettings(Section):
    """What ``invoke reap`` may take, and when."""

    min_age: Duration = 7200
    regions: Regions = ()


class RehearsalSettings(Section):
    """The cloud on this machine."""

    dir: str = ".rehearsal"
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    subnet: str = "auto"
    suite: str = "trixie"
    machines: Annotated[int, Field(ge=1, le=64)] = 16


class Settings(Section):
    """Everything under ``annexkit`` in invoke.yaml."""

    registry: str = "ami_registry.json"
    state_dir: str = ""
    cache_dir: str = ""
    images_dir: str = "packer/images"
    poll: Pace = 5
    bake: BakeSettings = BakeSettings()
    packer: PackerSettings = PackerSettings()
    ssh: SshSettings = SshSettings()
    prove: ProveSettings = ProveSettings()
    reap: ReapSettings = ReapSettings()
    rehearsal: RehearsalSettings = RehearsalSettings()

    @property
    def state(self) -> Path:
        """Folder of the journal and logs (XDG Base Directory Specification)."""
        return _folder(self.state_dir, "XDG_STATE_HOME", ".local/state")

    @property
    def cache(self) -> Path:
        """Folder of what can be fetched again (XDG Base Directory Specification)."""
        return _folder(self.cache_dir, "XDG_CACHE_HOME", ".cache")


def load(config: Mapping[str, Any]) -> Settings:
    """Check the ``annexkit`` section of Invoke's configuration.

    :raises FindingsError: naming every bad key, with the nearest known one.
    """
    if not isinstance(config, Mapping):
        mend = "write keys and values below it, indented"
        raise UsageError("'annexkit' is no section", where="annexkit", mend=mend)
    try:
        return Settings.model_validate(dict(config))
    except ValidationError as error:
        raise FindingsError(_findings(error)) from None


def split_flag(
    value: str | None, default: tuple[str, ...], *, where: str = "--region"
) -> tuple[str, ...]:
    """Read a flag that takes several words with commas; *default* when not given.

    :param where: the flag, for the error.
    :raises UsageError: the flag was given without a word in it.
    """
    if value is None:
        return default
    words = tuple(w.strip() for w in value.split(",") if w.strip())
    if not words:
        raise UsageError(
            "the flag was given without a word",
            where=where,
            mend=f"name at least one: {where} WORD, or leave the flag out",
        )
    return tuple(dict.fromkeys(words))


def _folder(given: str, variable: str, fallback: str) -> Path:
    if given:
        return Path(given).expanduser()
    home = os.environ.get(variable)
    return (Path(home) if home else Path.home() / fallback) / "annexkit"


def _findings(error: ValidationError) -> list[Finding]:
    return [_finding(e["type"], e["loc"], e["msg"], e["input"]) for e in error.errors()]


def _finding(
    kind: str, loc: tuple[int | str, ...], message: str, given: object
) -> Finding:
    where = ".".join(["annexkit", *(str(part) for part in loc)])
    if kind == "extra_forbidden":
        known = _keys_at(loc[:-1])
        hint = nearest(str(loc[-1]), known)
        return Finding(
            Level.ERROR,
            f"unknown setting '{loc[-1]}'",
            where,
            hint or f"known here: {', '.join(sorted(known))}",
        )
    if kind == "model_type":
        message = "should be a section of its own: lines of key and value"
    said = message.removeprefix("Value error, ").removeprefix("Input ")
    said = f"is {said}" if said.startswith("not ") else said
    names = ["invoke", "annexkit", *(p for p in loc if isinstance(p, str))]
    return Finding(
        Level.ERROR,
        f"{str(given)[:80]!r} {said}",
        where,
        "correct it where it is set: invoke.yaml, the file of -f, or "
        f"{'_'.join(names).upper()}",
    )


def _keys_at(loc: tuple[int | str, ...]) -> set[str]:
    model: type[BaseModel] = Settings
    for part in loc:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return set()
        model = inner
    return set(model.model_fields)

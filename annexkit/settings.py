"""The site's settings: the ``annexkit`` section of Invoke's configuration.

``invoke.yaml`` documents every key where it stands. Invoke merges files, environment
variables (``INVOKE_ANNEXKIT_BAKE_IMAGE``) and ``-f``; this module only checks.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from annexkit.errors import Finding, FindingsError, Level, UsageError, nearest
from annexkit.sections import (
    BakeSettings,
    IamSettings,
    LaunchSettings,
    NightlySettings,
    Pace,
    PackerSettings,
    PoolSettings,
    ProveSettings,
    PublishSettings,
    ReapSettings,
    RehearsalSettings,
    RetireSettings,
    Section,
    SshSettings,
    seconds,
)


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
    publish: PublishSettings = PublishSettings()
    launch: LaunchSettings = LaunchSettings()
    pool: PoolSettings = PoolSettings()
    iam: IamSettings = IamSettings()
    reap: ReapSettings = ReapSettings()
    retire: RetireSettings = RetireSettings()
    nightly: NightlySettings = NightlySettings()
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


def duration_flag(value: str, *, where: str) -> float:
    """Read a flag that is a duration, in seconds.

    :raises UsageError: it is none.
    """
    try:
        return seconds(value)
    except ValueError as error:
        raise UsageError(
            f"{value[:80]!r} is {error}", where=where, mend=f"{where} 30m"
        ) from None


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
    # An address where a name belongs may be the secret itself: nightly.webhook_env.
    shown = "an address" if "://" in str(given) else repr(str(given)[:80])
    return Finding(
        Level.ERROR,
        f"{shown} {said}",
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

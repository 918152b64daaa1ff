"""Packer's manifest: which AMI a run made.

The file is a history: Packer appends every build to it (Packer documentation,
"Manifest Post-Processor"), so the entry that counts is found by ``last_run_uuid``.
AMI ids are never searched for in a log.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annexkit.errors import AnnexkitError

AMI = re.compile(r"(?P<region>[a-z]{2,}(?:-[a-z]+)+-\d):(?P<ami>ami-[0-9a-f]{8,17})")


class ManifestError(AnnexkitError):
    """Packer's manifest does not say what this run made."""


@dataclass(frozen=True)
class BuildResult:
    """What one Packer run left: its AMI for each region, and who it was.

    :param seconds: how long the Packer process ran.
    """

    name: str
    run_uuid: str
    artifacts: dict[str, str]
    custom: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def last_run(path: Path) -> str:
    """Return ``last_run_uuid`` of a manifest; empty when there is none yet."""
    if not path.exists():
        return ""
    return str(_load(path).get("last_run_uuid") or "")


def read_manifest(path: Path, *, after: str = "") -> BuildResult:
    """Return the entry that the last run wrote.

    :param after: the ``last_run_uuid`` of before this run; the same one again means
        that this run wrote nothing.
    :raises ManifestError: no file, no entry of a new run, several, or no AMI in it.
    """
    data = _load(path)
    run = str(data.get("last_run_uuid") or "")
    found = [b for b in data["builds"] if run and b.get("packer_run_uuid") == run]
    if len(found) != 1 or run == after:
        count = 0 if run == after else len(found)
        raise _error(path, f"it has {count} entries for this run, not one")
    entry = found[0]
    return BuildResult(
        name=str(entry.get("name", "")),
        run_uuid=run,
        artifacts=_artifacts(path, str(entry.get("artifact_id", ""))),
        custom={str(k): str(v) for k, v in (entry.get("custom_data") or {}).items()},
    )


def _artifacts(path: Path, text: str) -> dict[str, str]:
    """Read ``region:ami``, comma-joined (amazon builder, Artifact.Id)."""
    parts = [AMI.fullmatch(part.strip()) for part in text.split(",")]
    found = {part["region"]: part["ami"] for part in parts if part}
    if len(found) != len(parts):
        raise _error(path, f"artifact_id '{text}' is not region:ami")
    return found


def _load(path: Path) -> dict[str, Any]:
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _error(path, "Packer did not write it") from None
    except (OSError, ValueError) as error:
        raise _error(path, f"it cannot be read: {error}") from error
    builds = data.get("builds") if isinstance(data, dict) else None
    if not isinstance(builds, list) or not all(isinstance(b, dict) for b in builds):
        raise _error(path, "it has no list of builds")
    return dict(data)


def _error(path: Path, why: str) -> ManifestError:
    return ManifestError(
        f"Packer's manifest does not tell which AMI was made: {why}",
        where=str(path),
        mend="take away what the run left, then bake again: invoke reap",
    )

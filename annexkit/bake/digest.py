"""The input digest: one hash over everything an image is made from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from annexkit.errors import UsageError

# What editors and Python leave beside the real files.
IGNORED = (
    *("*~", "*.swp", "*.swo", ".#*", "#*#", "*.bak", "*.orig", "*.rej"),
    *("__pycache__", "*.pyc", ".DS_Store"),
)
TEMPLATE = "template"
BASE_AMI = "base AMI"
HTCONDOR = "HTCondor"
BASE_PLACE = "<base AMI>"


@dataclass(frozen=True)
class Digest:
    """SHA-256 in hex over named parts; ``parts`` lets two of them be compared.

    Base AMI and HTCondor stand in ``parts`` as themselves, all else as its own hash.
    """

    value: str
    parts: Mapping[str, str]


def compute(
    *, body: str, base_ami: str, htcondor: str, trees: Mapping[str, Path]
) -> Digest:
    """Compute the digest of a build's inputs.

    The same in every checkout: paths are relative, of a file's mode only "executable"
    counts (as for git), and no time does.

    :param body: the rendered template without its header.
    :param htcondor: version that the package repository offers.
    :param trees: folders by the name they go under: ``provision``, ``cloud-init``.
    :raises UsageError: a folder or a file in it cannot be read.
    """
    # The id is a part of its own; in the template it would name every change twice.
    parts = {TEMPLATE: _sha256(body.replace(base_ami, BASE_PLACE).encode())}
    parts[BASE_AMI] = base_ami
    parts[HTCONDOR] = htcondor
    for name, folder in trees.items():
        parts.update(_tree(name, folder))
    return Digest(combine(parts), parts)


def combine(parts: Mapping[str, str]) -> str:
    """Return the hash over named parts, whatever their order."""
    lines = (f"{name}\0{parts[name]}\n" for name in sorted(parts))
    return _sha256("".join(lines).encode(errors="surrogateescape"))


def explain(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Say what differs between the parts of two digests, one sentence each."""
    names = sorted(set(old) | set(new))
    return [
        _change(n, old.get(n), new.get(n)) for n in names if old.get(n) != new.get(n)
    ]


def summary(parts: Mapping[str, str]) -> dict[str, str]:
    """Return the parts in few, for a file of record: a folder's files as one hash.

    Two summaries can be given to :func:`explain` like the parts themselves.
    """
    folders: dict[str, dict[str, str]] = {}
    short = {}
    for name, value in parts.items():
        folder, slash, _ = name.partition("/")
        if slash:
            folders.setdefault(folder, {})[name] = value
        else:
            short[name] = value
    return short | {name: combine(files) for name, files in folders.items()}


def of_folder(name: str, folder: Path) -> str:
    """Return the hash of one folder, as :func:`summary` has it under its name.

    :raises UsageError: it cannot be read.
    """
    return combine(dict(_tree(name, folder)))


def strays(folder: Path) -> list[Path]:
    """Return what lies in a folder and is not part of the digest, sorted.

    Packer uploads it all the same, so a bake should say so.
    """
    return sorted(p for p in folder.rglob("*") if _ignored(p.relative_to(folder)))


def _change(name: str, old: str | None, new: str | None) -> str:
    if old is None:
        return f"{name} is new"
    if new is None:
        return f"{name} is gone"
    if name in {BASE_AMI, HTCONDOR}:
        return f"{name} changed from {old or 'unknown'} to {new or 'unknown'}"
    return f"{name} changed"


def _tree(name: str, folder: Path) -> Iterator[tuple[str, str]]:
    if not folder.is_dir():
        raise UsageError(
            f"the folder {name}/ does not exist",
            where=str(folder),
            mend=f"restore it: git checkout -- {name}",
        )
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if not path.is_dir() and not _ignored(relative):
            yield f"{name}/{relative.as_posix()}", _file(path)


def _file(path: Path) -> str:
    try:
        executable = bool(path.stat().st_mode & 0o111)
        return _sha256((b"x" if executable else b"-") + path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"cannot read: {error.strerror}",
            where=str(path),
            mend="restore the file or correct its permissions",
        ) from error


def _ignored(relative: Path) -> bool:
    return any(fnmatch(part, glob) for part in relative.parts for glob in IGNORED)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

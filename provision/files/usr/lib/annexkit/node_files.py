"""Files that may be secrets: all of one or nothing, and never readable in between."""

from __future__ import annotations

import os
from pathlib import Path


def put(path: Path, data: bytes, mode: int, folder: int = 0o755) -> bool:
    """Write a file, and say whether that changed anything.

    :param folder: the mode of its folder, where that has to be made.
    """
    if path.exists() and path.read_bytes() == data:
        path.chmod(mode)
        return False
    if not path.parent.exists():
        path.parent.mkdir(parents=True)
        path.parent.chmod(folder)
    beside = path.with_name(f".{path.name}.annexkit-new")
    beside.unlink(missing_ok=True)
    # Never readable to others, not even for a moment.
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    beside.chmod(mode)
    beside.replace(path)
    return True

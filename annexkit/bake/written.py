"""Putting a rendered template on disk, as ``packer fmt`` would have it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import annexkit
from annexkit.bake.template import PLUGINS, TEMPLATE, Rendered
from annexkit.errors import AnnexkitError
from annexkit.process import run

VARIABLES = "run.pkrvars.hcl"
HEADER = """\
# Rendered by annexkit {version}. Do not edit: change {recipe} and bake again.
# Input digest: {digest}

"""


def write_rendered(
    directory: Path,
    rendered: Rendered,
    variables: str,
    *,
    digest: str,
    recipe: str,
    packer: str = "packer",
) -> None:
    """Write template and variables into *directory*, formatted, each file by rename.

    A file of the other dialect that lies there is removed.

    :param variables: text of ``run.pkrvars.hcl``.
    :param recipe: named in the header as the file to change.
    :raises CommandError: Packer is missing or does not take the template for HCL.
    :raises AnnexkitError: the disk refuses.
    """
    header = HEADER.format(version=annexkit.__version__, recipe=recipe, digest=digest)
    files = {**rendered.files, VARIABLES: variables}
    files[TEMPLATE] = header + files[TEMPLATE]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # Inside, so that renaming never crosses a file system; it goes with the block.
        with tempfile.TemporaryDirectory(prefix=".new-", dir=directory) as beside:
            _write(Path(beside), files, packer)
            for name in files:
                (Path(beside) / name).replace(directory / name)
        for name in {TEMPLATE, PLUGINS} - set(files):
            (directory / name).unlink(missing_ok=True)
    except OSError as error:
        raise AnnexkitError(
            f"cannot write the template: {error.strerror}",
            where=str(directory),
            mend="make room on the disk or correct the folder's permissions",
        ) from error


def _write(beside: Path, files: dict[str, str], packer: str) -> None:
    for name, text in files.items():
        (beside / name).write_text(text, encoding="utf-8")
    paths = [beside / name for name in files]
    for path in paths:
        run(packer, "fmt", path, env={**os.environ, "CHECKPOINT_DISABLE": "1"})

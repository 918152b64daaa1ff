"""The image recipes of ``packer/images``: listing them, reading one."""

from __future__ import annotations

from pathlib import Path
from types import NoneType
from typing import Any, get_args

from pydantic import ValidationError

from annexkit.bake import hcl
from annexkit.bake.recipe import SUFFIX, Image
from annexkit.errors import (
    Finding,
    FindingsError,
    Level,
    UsageError,
    nearest,
    raise_on_errors,
)

__all__ = ["Image", "list_images", "load_image"]

EXPLAINED = "debian13.pkrvars.hcl explains every field"


def list_images(images_dir: Path) -> list[str]:
    """Return the names of all recipes, sorted.

    :raises UsageError: the folder does not exist.
    """
    if not images_dir.is_dir():
        raise UsageError(
            "the folder of image recipes does not exist",
            where=str(images_dir),
            mend="run from the project's top folder, or set annexkit.images_dir",
        )
    return sorted(p.name.removesuffix(SUFFIX) for p in images_dir.glob(f"*{SUFFIX}"))


def load_image(images_dir: Path, name: str, provision: Path | None = None) -> Image:
    """Read a recipe and check all of it.

    :param provision: folder of the steps; ``provision`` beside ``packer`` when None.
    :raises UsageError: no such image (lists them), or the file is not HCL.
    :raises FindingsError: everything else that is wrong, each with file and line.
    """
    known = list_images(images_dir)
    if name not in known:
        hint = nearest(name, known)
        mend = f"images here: {', '.join(known) or 'none'}"
        raise UsageError(
            f"there is no image '{name}'",
            where=str(images_dir),
            mend=f"{hint} {mend}".strip(),
        )
    source = hcl.read(images_dir / f"{name}{SUFFIX}")
    steps_dir = provision or images_dir.parent.parent / "provision"
    found = [*source.findings, *_missing_steps(source, steps_dir)]
    if "name" in source.values:
        what = "an image's name is its file's name"
        found.append(_error(source, ("name",), what, "remove this line"))
    try:
        image = Image.model_validate({**source.values, "name": name})
    except ValidationError as error:
        found += _findings(source, error)
        raise FindingsError(_by_line(found)) from None
    found += [_error(source, at, said, EXPLAINED) for at, said in image.problems()]
    raise_on_errors(_by_line(found))
    return image


def _missing_steps(source: hcl.Assignments, steps_dir: Path) -> list[Finding]:
    steps = source.values.get("steps", ())
    if not isinstance(steps, tuple):
        return []
    known = sorted(p.stem for p in steps_dir.glob("[0-9][0-9]-*.sh"))
    return [
        _error(
            source,
            ("steps", at),
            f"there is no step '{step}' in {steps_dir}",
            f"{nearest(step, known)} steps there: {', '.join(known) or 'none'}".strip(),
        )
        for at, step in enumerate(steps)
        if isinstance(step, str) and step not in known
    ]


def _findings(source: hcl.Assignments, error: ValidationError) -> list[Finding]:
    return [
        _finding(source, problem["type"], problem["loc"], problem["msg"])
        for problem in error.errors(include_url=False, include_context=False)
        if problem["loc"] not in source.refused
    ]


def _finding(
    source: hcl.Assignments, kind: str, loc: hcl.Place, message: str
) -> Finding:
    # Pydantic adds "[key]" to the place of a bad mapping key.
    place = tuple(part for part in loc if part != "[key]")
    name = ".".join(str(part) for part in place)
    if kind == "extra_forbidden":
        known = _fields(place[:-1])
        mend = nearest(str(place[-1]), known) or f"known here: {', '.join(known)}"
        return _error(source, place, f"unknown key '{name}'", mend)
    if kind == "missing":
        return _error(source, place, f"'{name}' is missing", EXPLAINED)
    said = message.removeprefix("Value error, ").removeprefix("Input ")
    return _error(source, place, f"'{name}' {said}" if name else said, EXPLAINED)


def _fields(place: hcl.Place) -> list[str]:
    model: Any = Image
    for part in place:
        if hasattr(model, "model_fields"):
            kind = model.model_fields[str(part)].annotation
            # A part that may be left out is "Part | None".
            kinds = get_args(kind) if NoneType in get_args(kind) else ()
            model = next((one for one in kinds if one is not NoneType), kind)
        else:  # a mapping: its keys are the recipe's own
            model = get_args(model)[1]
    return sorted(name for name in model.model_fields if (*place, name) != ("name",))


def _error(source: hcl.Assignments, place: hcl.Place, what: str, mend: str) -> Finding:
    return Finding(Level.ERROR, what, source.where(place), mend)


def _by_line(found: list[Finding]) -> list[Finding]:
    def line(finding: Finding) -> int:
        number = finding.where.rpartition(":")[2]
        return int(number) if number.isdigit() else 0

    return sorted(dict.fromkeys(found), key=line)

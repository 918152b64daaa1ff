"""The forms of an export, as text that the programs they are for can read.

Only names whose shape was checked (``choose``) and AMI ids stand outside comments and
JSON strings; what is free text in the registry reaches a comment through :func:`remark`
alone.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

from annexkit.pool.version import served
from annexkit.publish.choose import Ami, Export, LeftOut

KNOB = "ANNEX_DEFAULT_ODI_IMAGE_ID"
# Not under /annexkit/: that is where secrets of launches lie, which nodes may read and
# `invoke reap` looks through.
PARAMETERS = "/annexkit-images"


def render(export: Export, form: str) -> str:
    """Return an export as text that ends in a newline.

    :param form: a key of :data:`FORMS`.
    """
    return FORMS[form](export)


def is_ours(text: str, form: str) -> bool:
    """Whether a file holds what :func:`render` made of the same form."""
    if text.startswith(f"# {written_by(form)}\n"):
        return True
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(data, dict) and data.get("written_by") == written_by(form)


def written_by(form: str) -> str:
    """Return the line by which a file of ours is known."""
    return f"Written by annexkit: invoke registry.export --format {form}"


def knob(region: str) -> str:
    """Return the name of HTCondor's setting for a region's AMI.

    What is no letter, digit, ``_``, ``.`` or ``/`` of a region becomes ``_`` (htcondor
    src/condor_annex; HTCondor compares the names of settings without case).
    """
    fits = (c if c.isascii() and (c.isalnum() or c in "_./") else "_" for c in region)
    return f"{''.join(fits)}.{KNOB}"


def remark(text: str) -> str:
    """Return text for a comment: one line, nothing a program could take for more.

    HTCondor goes on with a line, even a comment, that ends in a backslash.
    """
    return "".join(c if c.isprintable() and c != "\\" else "?" for c in text)


def condor(export: Export) -> str:
    """Return a file for HTCondor's configuration, for upstream's ``condor_annex``."""
    lines = [*_head(export, "condor")]
    for one in export.amis:
        lines += ["", f"# {_said(one)}", *_pools(one)]
        lines.append(f"{knob(one.region)} = {one.ami}")
    return _text(lines)


def _pools(one: Ami) -> Iterator[str]:
    """Say which pools an image is for (docs/contracts.md, "Which client")."""
    if pools := served(one.htcondor):
        yield f"# for {pools}; others have no job for it"


def env(export: Export) -> str:
    """Return ``KEY=VALUE`` lines that any shell can source."""
    lines = [*_head(export, "env")]
    for one in export.amis:
        name = f"{one.image}_{one.arch}_{one.region}".replace("-", "_").upper()
        value = shlex.quote(one.ami)
        lines += ["", f"# {_said(one)}", f"ANNEXKIT_AMI_{name}={value}"]
    return _text(lines)


def terraform(export: Export) -> str:
    """Return a ``.tf`` file: ``local.annexkit_amis[image][architecture][region]``."""
    lines = [*_head(export, "terraform"), "", "locals {", "  annexkit_amis = {"]
    for image, of_image in groupby(export.amis, lambda one: one.image):
        lines.append(f'    "{image}" = {{')
        for arch, of_arch in groupby(of_image, lambda one: one.arch):
            lines.append(f'      "{arch}" = {{')
            for one in of_arch:
                lines.append(f"        # {remark(one.about)}")
                lines.append(f'        "{one.region}" = "{one.ami}"')
            lines.append("      }")
        lines.append("    }")
    return _text([*lines, "  }", "}"])


def ssm(export: Export) -> str:
    """Return, for each AMI, where it goes and the input of SSM's PutParameter.

    ``parameters[].input`` is what ``aws ssm put-parameter --cli-input-json`` takes in
    ``parameters[].region``. The type lets SSM check that the AMI is there, and lets
    RunInstances take ``resolve:ssm:NAME`` (AWS Systems Manager, "Native parameter
    support for Amazon Machine Image IDs").
    """
    parameters = [
        {
            "region": one.region,
            "input": {
                "Name": f"{PARAMETERS}/{one.image}/{one.arch}",
                "Description": remark(f"annexkit: {one.about}")[:1024],
                "Value": one.ami,
                "Type": "String",
                "DataType": "aws:ec2:image",
                "Overwrite": True,
            },
        }
        for one in export.amis
    ]
    return _json(export, "ssm", {"parameters": parameters})


def as_json(export: Export) -> str:
    """Return all that is known of each AMI: image → architecture → region."""
    images: dict[str, dict[str, dict[str, Any]]] = {}
    for one in export.amis:
        images.setdefault(one.image, {}).setdefault(one.arch, {})[one.region] = {
            "ami": one.ami,
            "build": one.build,
            "htcondor": one.htcondor,
            "contracts": list(one.contracts),
            "pools": served(one.htcondor),
            "created": one.created.isoformat(),
            "verified_at": one.verified_at.isoformat() if one.verified_at else None,
            "age_days": one.age,
        }
    return _json(export, "json", {"images": images})


def left_out_data(left_out: tuple[LeftOut, ...]) -> list[dict[str, str]]:
    """Return what was left out as plain data."""
    return [
        {"image": o.image, "arch": o.arch, "region": o.region, "why": o.why}
        for o in left_out
    ]


FORMS: dict[str, Callable[[Export], str]] = {
    "condor": condor,
    "ssm": ssm,
    "terraform": terraform,
    "env": env,
    "json": as_json,
}


def _said(one: Ami) -> str:
    return remark(f"{one.image} {one.arch} {one.region}: {one.about}")


def _head(export: Export, form: str) -> Iterator[str]:
    whose = f"account {export.account or 'unknown'} at {export.endpoint}"
    yield f"# {written_by(form)}"
    yield "# Do not edit: the next export takes its place."
    yield f"# The current AMIs of {remark(whose)}, as of {export.day.isoformat()}."
    for one in export.left_out:
        yield f"# Left out: {remark(f'{one.where}: {one.why}')}"


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


def _json(export: Export, form: str, what: dict[str, Any]) -> str:
    data = {
        "written_by": written_by(form),
        "account": export.account,
        "endpoint": export.endpoint,
        "as_of": export.day.isoformat(),
        "left_out": left_out_data(export.left_out),
        **what,
    }
    return json.dumps(data, indent=2, sort_keys=True) + "\n"

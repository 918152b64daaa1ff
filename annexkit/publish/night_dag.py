"""A night as an HTCondor DAG: one node for each step of an image in a region.

Values in, text out. The form is that of HTCondor's manual, "DAGMan Workflows". Nodes
run in the local universe, which is the access point: credentials never leave it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from annexkit.publish.night import Did, ImageNight, Night, RegionNight

BAKE, COPY, SMOKE, PROMOTE, END = "bake", "copy", "smoke", "promote", "end"
STEPS = (BAKE, COPY, SMOKE, PROMOTE, END)
# The steps of a region in their order, by their names in the record.
FIELDS = {COPY: "copied", SMOKE: "smoke", PROMOTE: "promote"}
AWAY, HOME = tuple(FIELDS), (PROMOTE,)  # home, when a bake and its boot come before
# What is only asked for may be asked again at once. A bake costs Packer's whole time,
# and a smoke that failed is something to be looked at.
RETRIES = {COPY: 2, PROMOTE: 1}
DAG, SUBMIT, SCRIPT, SETTINGS = "night.dag", "step.sub", "step", "settings.json"
WHAT = "what"  # the macro with a node's own arguments

# What a step needs of the environment besides the settings; of AWS all but what is
# secret, since a file would keep it.
KEPT = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LC_\w+|TZ|TMPDIR|XDG_\w+|CONDOR_CONFIG|_CONDOR_\w+"
    r"|AWS_\w+|PACKER_\w+|CHECKPOINT_DISABLE|SSL_CERT_\w+|\w+_CA_BUNDLE"
    r"|(?i:https?_proxy|no_proxy|all_proxy)"
)
SECRETS = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AWS_SECURITY_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"),
)
OTHERS = "AWS_BEARER_TOKEN_"  # keys of services that no step calls: left out
PROXIES = ("http_proxy", "https_proxy", "all_proxy")  # a password may stand in them
REMOVED = "4"  # DAG_STATUS at the end of a DAG that condor_rm ended


@dataclass(frozen=True)
class Node:
    """One step of one image; ``region`` is empty for a bake, ``after``: its parent."""

    name: str
    step: str
    image: str
    arch: str
    region: str = ""
    after: str = ""

    @property
    def arguments(self) -> str:
        """What ``invoke nightly-step`` is called with."""
        where = f" --region {self.region}" if self.region else ""
        return f"--step {self.step} --image {self.image}/{self.arch}{where}"


@dataclass(frozen=True)
class Limits:
    """How many nodes of one kind run at once, over all images."""

    bakes: int
    regions: int


def nodes_of(night: Night) -> list[Node]:
    """Return a node for each step that waits, the parents first.

    A bake makes the home region's AMI and boots it; so home has neither copy nor smoke
    then.
    """
    return [node for image in night.images for node in _of_image(image)]


def _of_image(image: ImageNight) -> Iterator[Node]:
    if Did.FAILED in (image.bake.did, image.boot.did):
        return
    first = ""
    if Did.WAITING in (image.bake.did, image.boot.did):
        node = _node(image, BAKE)
        first = node.name
        yield node
    for region, there in image.regions.items():
        own = bool(first) and region == image.home
        yield from _of_region(image, region, there, first, HOME if own else AWAY)


def _of_region(
    image: ImageNight,
    region: str,
    there: RegionNight,
    after: str,
    steps: Sequence[str],
) -> Iterator[Node]:
    for step in steps:
        did = getattr(there, FIELDS[step]).did
        if did is Did.FAILED:
            return
        if did is Did.WAITING:
            node = _node(image, step, region, after)
            after = node.name
            yield node


def _node(image: ImageNight, step: str, region: str = "", after: str = "") -> Node:
    # Nothing that DAGMan keeps for itself: recipes have no dot in their names.
    name = "-".join(part for part in (step, image.image, image.arch, region) if part)
    return Node(name, step, image.image, image.arch, region, after)


def dag_text(nodes: Sequence[Node], limits: Limits) -> str:
    """Return the DAG's description; its last node runs however the others ended."""
    most = {BAKE: limits.bakes, COPY: limits.regions, SMOKE: limits.regions, PROMOTE: 1}
    lines = ["# The steps of a night: invoke nightly --via condor wrote them."]
    for node in nodes:
        lines += [
            f"JOB {node.name} {SUBMIT}",
            f'VARS {node.name} {WHAT}="{node.arguments}"',
            f"CATEGORY {node.name} {node.step}",
        ]
        if node.step in RETRIES:
            lines.append(f"RETRY {node.name} {RETRIES[node.step]}")
    lines += [f"PARENT {node.after} CHILD {node.name}" for node in nodes if node.after]
    there = {node.step for node in nodes}
    lines += [f"MAXJOBS {step} {most[step]}" for step in STEPS if step in there]
    lines += [
        f"FINAL {END} {SUBMIT}",
        f'VARS {END} {WHAT}="--step {END} --status=$(DAG_STATUS)"',
    ]
    return "\n".join(lines) + "\n"


def submit_text(folder: Path) -> str:
    """Return the submit description of every node (condor_submit(1)).

    :param folder: the DAG's own, where the nodes' output goes, too.
    """
    return "\n".join(
        (
            "universe = local",
            f"executable = {folder / SCRIPT}",
            f"initialdir = {folder}",
            f"arguments = $({WHAT})",
            "output = $(JOB).out",
            "error = $(JOB).err",
            "notification = never",
            "queue",
            "",
        )
    )


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what of an environment goes along with a DAG: what KEPT names."""
    return {
        name: value
        for name, value in sorted(environment.items())
        if KEPT.fullmatch(name) and name not in SECRETS and not name.startswith(OTHERS)
    }


def secrets_in(environment: Mapping[str, str]) -> list[str]:
    """Return the variables that a step needs and that no file shall hold."""
    return [
        name
        for name, value in sorted(environment.items())
        if value and (name in SECRETS or (name.lower() in PROXIES and "@" in value))
    ]


def script_text(
    folder: Path, root: Path, python: str, night: str, environment: Mapping[str, str]
) -> str:
    """Return the program that every node runs, which a person may call, too.

    :param root: the checkout.
    :param python: the interpreter with annexkit.
    :param environment: the caller's; what KEPT names of it goes along, no secret does.
    """
    kept = without_secrets(environment)
    called = (python, "-m", "invoke", "-f", str(folder / SETTINGS), "nightly-step")
    return "\n".join(
        (
            "#!/bin/sh",
            "# One step of a night, as its DAG runs it; VARS there are the arguments.",
            *(f"export {name}={shlex.quote(value)}" for name, value in kept.items()),
            f"cd {shlex.quote(str(root))} || exit 1",
            f'exec {shlex.join(called)} --night {night} "$@"',
            "",
        )
    )

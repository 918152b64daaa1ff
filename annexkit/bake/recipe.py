"""What an image is: the model of a recipe, with every rule about its fields."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    model_validator,
)

from annexkit.bake import hcl
from annexkit.errors import UsageError

SUFFIX = ".pkrvars.hcl"
LAST_STEPS = ("80-record", "90-hygiene", "95-validate")
OUR_TAGS = 5  # Name, annexkit:owner, :build, :image, :expires
TAG_VALUE_MAX = 256
TAGS_MAX = 50  # Amazon EC2 User Guide, "Tag your Amazon EC2 resources"

Arch = Literal["x86_64", "arm64"]
Contract = Literal["annexkit", "annex-ec2", "seed-cfn"]
Problem = tuple[hcl.Place, str]


def _matching(pattern: str, says: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"'{value}' is not {says}")
        return value

    return AfterValidator(check)


def _carried(value: str) -> str:
    reason = hcl.unwritable(value)
    if reason:
        raise ValueError(reason)
    return value


def untaggable(text: str) -> str:
    """Say why EC2 cannot keep *text* as a tag's value; ``""`` when it can.

    Its answers are XML 1.0, which cannot write control characters (XML 1.0, section
    2.2), so Packer would fail to read them. Length: Amazon EC2 User Guide, "Tag
    restrictions".
    """
    if len(text) > TAG_VALUE_MAX:
        return f"has {len(text)} characters; a tag's value takes {TAG_VALUE_MAX}"
    if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", text):
        return "has a control character, which EC2 cannot hand back"
    return ""


def _taggable(value: str) -> str:
    reason = untaggable(value)
    if reason:
        raise ValueError(reason)
    return value


Text = Annotated[str, AfterValidator(_carried)]
TagKey = Annotated[Text, Field(min_length=1, max_length=128), AfterValidator(_taggable)]
TagValue = Annotated[Text, AfterValidator(_taggable)]
Word = Annotated[str, _matching(r"[A-Za-z0-9][A-Za-z0-9._/-]*", "one plain word")]
Suite = Annotated[str, _matching(r"[a-z0-9][a-z0-9.-]*", "the name of a suite")]
Url = Annotated[Text, _matching(r"https?://[^\s'\"]+", "an http(s) address")]
Variable = Annotated[str, _matching(r"[A-Z_][A-Z0-9_]*", "a name such as SITE_NAME")]


class Part(BaseModel):
    """A part of a recipe: no unknown keys, no conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Base(Part):
    """Which AMI the builder starts from."""

    owner: Annotated[str, _matching(r"\d{12}|amazon|self", "a 12-digit account")]
    name: Mapping[Arch, Text]


class HTCondor(Part):
    """Where HTCondor comes from, and which series it must be."""

    source: Literal["distro", "distro-unstable", "upstream"]
    suite: Suite
    series: Annotated[str, _matching(r"(\d+(\.\d+){0,2})?", "such as 23.9")] = ""
    url: Url | None = None
    component: Word | None = None
    key_url: Url | None = None
    key_sha256: Annotated[str, _matching(r"[0-9a-f]{64}", "64 hex digits")] | None = (
        None
    )

    @model_validator(mode="after")
    def _upstream_fields(self) -> Self:
        fields = ("url", "component", "key_url", "key_sha256")
        given = [name for name in fields if getattr(self, name) is not None]
        missing = [name for name in fields if name not in given]
        if self.source == "upstream" and missing:
            raise ValueError(f"source 'upstream' also needs {', '.join(missing)}")
        if self.source != "upstream" and given:
            raise ValueError(f"only source 'upstream' has {', '.join(given)}")
        return self


class RootVolume(Part):
    """The gp3 root volume: GiB, operations a second, MiB/s."""

    size: Annotated[int, Field(ge=2, le=16384)]
    # The ranges that Packer 1.6.6 accepts for gp3.
    iops: Annotated[int, Field(ge=3000, le=16000)] = 3000
    throughput: Annotated[int, Field(ge=125, le=1000)] = 125
    encrypted: bool = True

    @model_validator(mode="after")
    def _throughput_has_iops(self) -> Self:
        # Amazon EBS User Guide, "General Purpose SSD volumes": 0.25 MiB/s per IOPS.
        if self.throughput * 4 > self.iops:
            raise ValueError("throughput may be at most a quarter of iops")
        return self


class Image(Part):
    """A recipe: everything that makes one image what it is."""

    name: Annotated[str, _matching(r"[a-z][a-z0-9-]{0,30}", "an image name")]
    description: Annotated[Text, Field(min_length=1, max_length=255)]
    base: Base
    ssh_user: Annotated[str, _matching(r"[a-z_][a-z0-9_-]{0,31}", "a user name")]
    instance_type: Mapping[Arch, Word]
    htcondor: HTCondor
    steps: tuple[Annotated[str, _matching(r"\d\d-[a-z0-9-]+", "a step")], ...]
    root_volume: RootVolume
    contracts: tuple[Contract, ...]
    tags: Mapping[TagKey, TagValue] = {}
    environment: Mapping[Variable, Text] = {}

    def problems(self) -> list[Problem]:
        """Return what contradicts itself between fields, each with its place."""
        return [problem for rule in RULES for problem in rule(self)]

    def architecture(self, arch: str) -> Arch:
        """Return *arch* if the image can be built for it.

        :raises UsageError: the recipe has no base AMI for it.
        """
        for known in self.base.name:
            if known == arch:
                return known
        raise UsageError(
            f"image '{self.name}' has no base AMI for architecture '{arch}'",
            where=self.name + SUFFIX,
            mend=f"bake one of: {', '.join(self.base.name)}",
        )


def _same_architectures(image: Image) -> list[Problem]:
    if set(image.base.name) == set(image.instance_type):
        return []
    what = "instance_type must name the same architectures as base.name"
    return [(("instance_type",), what)]


def _nothing_empty(image: Image) -> list[Problem]:
    # Rules of ours: pydantic would call a list empty when all its items are wrong.
    wrong: list[Problem] = []
    if not image.base.name:
        wrong.append((("base", "name"), "base.name must name an architecture"))
    if not image.contracts:
        wrong.append((("contracts",), "contracts must name at least one"))
    return wrong


def _closing_steps(image: Image) -> list[Problem]:
    if image.steps[-3:] == LAST_STEPS:
        return []
    return [(("steps",), f"steps must end with {', '.join(LAST_STEPS)}")]


def _no_repeats(image: Image) -> list[Problem]:
    lists = {"steps": image.steps, "contracts": image.contracts}
    return [
        ((name, at), f"'{item}' stands in {name} twice")
        for name, items in lists.items()
        for at, item in enumerate(items)
        if item in items[:at]
    ]


def _own_tags(image: Image) -> list[Problem]:
    wrong: list[Problem] = [
        (("tags", key), f"tag '{key}' is not a recipe's to set")
        for key in image.tags
        if key == "Name" or key.lower().startswith(("aws:", "annexkit:"))
    ]
    if len(image.tags) > TAGS_MAX - OUR_TAGS:
        what = f"at most {TAGS_MAX - OUR_TAGS} tags fit beside annexkit's own"
        wrong.append((("tags",), what))
    return wrong


def _own_environment(image: Image) -> list[Problem]:
    return [
        (("environment", key), f"environment variable '{key}' is not a recipe's to set")
        for key in image.environment
        if key.startswith(("ANNEXKIT_", "PACKER_")) or key in {"PATH", "HOME", "IFS"}
    ]


RULES: tuple[Callable[[Image], list[Problem]], ...] = (
    _nothing_empty,
    _same_architectures,
    _closing_steps,
    _no_repeats,
    _own_tags,
    _own_environment,
)

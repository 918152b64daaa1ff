"""What an image is: the model of a recipe, with every rule about its fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from annexkit.bake import hcl
from annexkit.bake.fields import (
    Fingerprint,
    Package,
    Part,
    RepositoryName,
    Sha256,
    Suite,
    TagKey,
    TagValue,
    Text,
    Url,
    Variable,
    Word,
    matching,
)
from annexkit.errors import UsageError

SUFFIX = ".pkrvars.hcl"
FIRST_STEP = "10-system"
HTCONDOR_STEP = "20-htcondor"
LAST_STEPS = ("80-record", "90-hygiene", "95-validate")
# Who adds a recipe's repositories, and who installs from them and drops them again.
REPOSITORY_STEPS = ("15-repositories", "25-packages")
OUR_TAGS = 5  # Name, annexkit:owner, :build, :image, :expires
TAGS_MAX = 50  # Amazon EC2 User Guide, "Tag your Amazon EC2 resources"

Arch = Literal["x86_64", "arm64"]
Family = Literal["debian", "el"]
Contract = Literal["annexkit", "annex-ec2", "seed-cfn"]
Problem = tuple[hcl.Place, str]


class Base(Part):
    """Which AMI the builder starts from."""

    owner: Annotated[str, matching(r"\d{12}|amazon|self", "a 12-digit account")]
    name: Mapping[Arch, Text]


class Repository(Part):
    """A package repository of the bake, for the family ``el``; gone from the image.

    ``url``: the folder that holds ``repodata``. Its key is known by the fingerprint of
    the one key in the file, or by the file's own hash. ``priority``: dnf takes a
    package from the lowest number that has it (dnf.conf(5)); a base AMI's own have 99.
    """

    url: Url
    key_url: Url
    key_sha256: Sha256 | None = None
    key_fingerprint: Fingerprint | None = None
    priority: Annotated[int, Field(ge=91, le=99)] = 99

    @model_validator(mode="after")
    def _one_identity(self) -> Self:
        if bool(self.key_sha256) == bool(self.key_fingerprint):
            raise ValueError("needs key_sha256 or key_fingerprint, one of them")
        return self


class HTCondor(Part):
    """Where HTCondor comes from, and which series it must be."""

    source: Literal["distro", "distro-unstable", "upstream", "repository"]
    suite: Suite
    series: Annotated[str, matching(r"(\d+(\.\d+){0,2})?", "such as 23.9")] = ""
    url: Url | None = None
    component: Word | None = None
    key_url: Url | None = None
    key_sha256: Sha256 | None = None
    key_fingerprint: Fingerprint | None = None

    @model_validator(mode="after")
    def _upstream_fields(self) -> Self:
        needed = ("url", "key_url")
        fields = (*needed, "component", "key_sha256", "key_fingerprint")
        given = [name for name in fields if getattr(self, name) is not None]
        missing = [name for name in needed if name not in given]
        if not {"key_sha256", "key_fingerprint"} & set(given):
            missing.append("key_sha256 or key_fingerprint")
        if self.source == "upstream" and missing:
            raise ValueError(f"source 'upstream' also needs {', '.join(missing)}")
        if self.source != "upstream" and given:
            raise ValueError(f"only source 'upstream' has {', '.join(given)}")
        if {"key_sha256", "key_fingerprint"} <= set(given):
            raise ValueError("key_sha256 and key_fingerprint: one of them is enough")
        return self


class HelperScripts(Part):
    """Who brings cfn-init and its siblings, which contract seed-cfn runs."""

    source: Literal["annexkit", "aws"]
    url: Url | None = None
    sha256: Annotated[str, matching(r"[0-9a-f]{64}", "64 hex digits")] | None = None

    @model_validator(mode="after")
    def _aws_fields(self) -> Self:
        given = [name for name in ("url", "sha256") if getattr(self, name) is not None]
        if self.source == "aws" and len(given) < 2:
            raise ValueError("source 'aws' also needs url and sha256")
        if self.source != "aws" and given:
            raise ValueError(f"only source 'aws' has {' and '.join(given)}")
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

    name: Annotated[str, matching(r"[a-z][a-z0-9-]{0,30}", "an image name")]
    description: Annotated[Text, Field(min_length=1, max_length=255)]
    base: Base
    ssh_user: Annotated[str, matching(r"[a-z_][a-z0-9_-]{0,31}", "a user name")]
    instance_type: Mapping[Arch, Word]
    htcondor: HTCondor
    steps: tuple[Annotated[str, matching(r"\d\d-[a-z0-9-]+", "a step")], ...]
    root_volume: RootVolume
    contracts: tuple[Contract, ...]
    family: Family = "debian"
    repositories: Mapping[RepositoryName, Repository] = {}
    enable_repositories: tuple[Word, ...] = ()
    packages: tuple[Package, ...] = ()
    helper_scripts: HelperScripts | None = None
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
    names = ("steps", "contracts", "packages", "enable_repositories")
    lists = {name: getattr(image, name) for name in names}
    return [
        ((name, at), f"'{item}' stands in {name} twice")
        for name, items in lists.items()
        for at, item in enumerate(items)
        if item in items[:at]
    ]


def _family(image: Image) -> list[Problem]:
    """What a family's package manager cannot do."""
    source, component = image.htcondor.source, image.htcondor.component
    wrong: list[Problem] = []
    if image.family == "el":
        if source.startswith("distro"):
            what = f"family 'el' has no HTCondor of its own for source '{source}'"
            wrong.append((("htcondor", "source"), what))
        if component is not None:
            what = "component belongs to a Debian repository, not to family 'el'"
            wrong.append((("htcondor", "component"), what))
        return wrong
    wrong += [
        ((name,), f"{name} are for family 'el' only")
        for name in ("repositories", "enable_repositories")
        if getattr(image, name)
    ]
    if source == "repository":
        what = "source 'repository' is for family 'el' only"
        wrong.append((("htcondor", "source"), what))
    if source == "upstream" and component is None:
        what = "source 'upstream' of a Debian repository also needs component"
        wrong.append((("htcondor",), what))
    return wrong


def _chosen_repository(image: Image) -> list[Problem]:
    """The repository that HTCondor is to come from must be the one dnf chooses."""
    suite = image.htcondor.suite
    if image.htcondor.source != "repository" or image.family != "el":
        return []
    if suite not in image.repositories:
        known = ", ".join(image.repositories) or "none"
        what = f"suite must name one of the recipe's repositories ({known})"
        return [(("htcondor", "suite"), what)]
    own = image.repositories[suite].priority
    return [
        (
            ("repositories", name, "priority"),
            f"repository '{name}' has priority {other.priority}: HTCondor comes from "
            f"'{suite}' only if that has a lower one than {own}",
        )
        for name, other in image.repositories.items()
        if name != suite and other.priority <= own
    ]


def _package_steps(image: Image) -> list[Problem]:
    """Repositories and packages need the steps that know of them, in their order."""
    first, last = REPOSITORY_STEPS
    needed = [first, last] if image.repositories else [last] if image.packages else []
    order = [FIRST_STEP, *needed[:-1], HTCONDOR_STEP, *needed[-1:]]
    there = [step for step in image.steps if step in order]
    if not needed or there == order:
        return []
    what = f"repositories and packages need the steps {', '.join(order)} in this order"
    return [(("steps",), what)]


def _helper_scripts(image: Image) -> list[Problem]:
    wanted = "seed-cfn" in image.contracts
    if wanted and image.helper_scripts is None:
        what = "contract 'seed-cfn' needs helper_scripts: who brings cfn-init"
        return [(("contracts",), what)]
    if image.helper_scripts is not None and not wanted:
        what = "helper_scripts are for contract 'seed-cfn', which is not named"
        return [(("helper_scripts",), what)]
    return []


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
    _family,
    _chosen_repository,
    _package_steps,
    _helper_scripts,
    _own_tags,
    _own_environment,
)

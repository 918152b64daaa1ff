"""The plain types that a recipe is made of, each with its own rule."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from annexkit.bake import hcl

TAG_VALUE_MAX = 256


class Part(BaseModel):
    """A part of a recipe: no unknown keys, no conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def matching(pattern: str, says: str) -> AfterValidator:
    """Return the rule that a text is of this form; *says* names the form."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"'{value}' is not {says}")
        return value

    return AfterValidator(check)


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


def _carried(value: str) -> str:
    reason = hcl.unwritable(value)
    if reason:
        raise ValueError(reason)
    return value


def _taggable(value: str) -> str:
    reason = untaggable(value)
    if reason:
        raise ValueError(reason)
    return value


def _known_variables(url: str) -> str:
    # dnf has more of them; what one of them means depends on the machine that asks.
    if "$" in url.replace("$basearch", ""):
        raise ValueError("knows no variable but $basearch")
    return url


Text = Annotated[str, AfterValidator(_carried)]
TagKey = Annotated[Text, Field(min_length=1, max_length=128), AfterValidator(_taggable)]
TagValue = Annotated[Text, AfterValidator(_taggable)]
Word = Annotated[str, matching(r"[A-Za-z0-9][A-Za-z0-9._/-]*", "one plain word")]
Suite = Annotated[str, matching(r"[a-z0-9][a-z0-9.-]*", "the name of a suite")]
Url = Annotated[
    Text,
    matching(r"https?://[^\s'\"]+", "an http(s) address"),
    AfterValidator(_known_variables),
]
Variable = Annotated[str, matching(r"[A-Z_][A-Z0-9_]*", "a name such as SITE_NAME")]
Package = Annotated[str, matching(r"[A-Za-z0-9][A-Za-z0-9.+_-]*", "a package's name")]
# Short and plain: it becomes a part of file names and of environment variables.
RepositoryName = Annotated[str, matching(r"[a-z][a-z0-9]{0,15}", "such as epel")]
Sha256 = Annotated[str, matching(r"[0-9a-f]{64}", "64 hex digits")]
Fingerprint = Annotated[str, matching(r"[0-9A-F]{40}", "40 hex digits, capitals")]

"""The tags that annexkit puts on everything it makes in EC2."""

from __future__ import annotations

import re

BUILD = "annexkit:build"
EXPIRES = "annexkit:expires"
IMAGE = "annexkit:image"
OWNER = "annexkit:owner"
PREFIX = "annexkit:"
# What an annex's instances carry: upstream's own tag for the name, so that its tools
# see them too; which run of `invoke launch` made them; and their AMI's build, under a
# name of its own, because things tagged with BUILD belong to a bake.
ANNEX = "htcondor:AnnexName"
LAUNCH = "annexkit:launch"
FROM_BUILD = "annexkit:from-build"
VERSION = "annexkit:version"
# On an AMI on its way out: when `invoke retire` took the last step, in epoch seconds.
RETIRING = "annexkit:retiring"
# On a rule that we added to a security group of the user's; its value says which.
RULE = "annexkit:rule"
# On a security group of the user's that persons may open, by an administrator's hand.
MAY_OPEN = "annexkit:may-open"


def expiry(tags: dict[str, str]) -> float | None:
    """Return when a thing may be taken, in epoch seconds; None when it does not say.

    A value that is no number counts as unsaid: nothing is taken for a typing error.
    """
    # Stricter than float(), which also reads "-inf": that would be over at once.
    said = tags.get(EXPIRES, "")
    return float(said) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", said) else None

"""What can be taken instead of what does not do, as the command that takes it."""

from __future__ import annotations

import shlex

from annexkit.aws import AwsError
from annexkit.aws_session import profiles
from annexkit.doctor.lines import setting
from annexkit.errors import closest
from annexkit.flows.doctor_subject import Subject
from annexkit.launch.offers import Offers

LIKELY = "us-west-2"
USUAL = {"x86_64": ["m7i.large"], "arm64": ["m7g.large"]}
# What another profile may mend: botocore found none, or not the one that is named.
OF_PROFILE = ("NoCredentialsError", "ProfileNotFound", "PartialCredentialsError")


def profile(error: AwsError) -> str:
    """Return the command that takes a profile of this machine, where that may help."""
    others = profiles() if error.code in OF_PROFILE else []
    if not others:
        return error.mend
    more = f" (or {', '.join(others[1:])})" if others[1:] else ""
    return f"export AWS_PROFILE={shlex.quote(others[0])}{more}; or {error.mend}"


def region(subject: Subject) -> str:
    """Return the command that takes the region that was meant, or one that is known."""
    known = subject.cloud().session.get_available_regions("ec2")
    meant = closest(subject.region, known) or LIKELY
    if subject.region in subject.site.settings.bake.regions:
        return setting("bake.regions", meant)
    return f"invoke doctor --region {meant}"


def types(subject: Subject, found: Offers) -> str:
    """Return the command that takes the types that will do, or the usual ones."""
    usual = USUAL[subject.site.settings.bake.arch]
    there = {kind for kind, _ in found.zones}
    usable = [kind for kind in found.types if kind in there]
    return setting("launch.instance_types", ",".join(usable or usual))

"""What has to be on this machine: Packer's plugin, a fitting key, room on the disk."""

from __future__ import annotations

import re
from collections.abc import Iterator

from annexkit.doctor.lines import Line, ok, unchecked, warning, wrong

PLUGIN = "github.com/hashicorp/amazon"
NAMED = re.compile(r"packer-plugin-amazon_v(\d+\.\d+\.\d+)_x")
# Users report full CPU and stalled builds (issues 676 and 685 of the plugin).
BAD_PLUGINS = ("1.8.1",)
GOOD_PLUGIN = "1.8.0"
NO_PAIR = "export INVOKE_ANNEXKIT_LAUNCH_KEY_NAME= INVOKE_ANNEXKIT_LAUNCH_KEY_FILE=,"


def plugin(wanted: str, listed: str | None) -> Iterator[Line]:
    """Judge the amazon plugin of a Packer that has plugins.

    :param wanted: the version that the settings pin.
    :param listed: what ``packer plugins installed`` printed; None when it could not.
    """
    check = "amazon plugin"
    fetch = f"packer plugins install {PLUGIN} v{wanted}"
    if wanted in BAD_PLUGINS:
        what = f"with {wanted} users report full CPU and builds that stall"
        mend = f"export INVOKE_ANNEXKIT_PACKER_AMAZON_PLUGIN={GOOD_PLUGIN}"
        where = "annexkit.packer.amazon_plugin"
        yield warning(check, what, where=where, mend=mend)
    if listed is None:
        what = "this Packer does not list its plugins; a bake fetches what it needs"
        yield unchecked(check, what, mend="invoke bake --dry-run")
        return
    there = sorted(set(NAMED.findall(listed)))
    if wanted in there:
        yield ok(check, f"{wanted} is installed")
        return
    others = f", but {', '.join(there)}" if there else ""
    what = f"{wanted} is not installed{others}: a bake fetches it from GitHub first"
    yield warning(check, what, mend=fetch)


def same_key(pair: str, in_ec2: str, own: str, region: str) -> Line:
    """Judge whether a private key is the one of a key pair, by their public lines.

    :param in_ec2: as EC2 has it; empty when it does not tell.
    :param own: of the private file.
    """
    check = "key pair"
    if not in_ec2:
        return unchecked(check, f"EC2 does not tell the public key of '{pair}'")
    if in_ec2.split()[:2] == own.split()[:2]:
        return ok(check, f"'{pair}' is in {region}, and the private file is its own")
    return wrong(
        check,
        f"the private file is not that of the key pair '{pair}': no login would work",
        where=region,
        mend=f"{NO_PAIR} and each annex gets a key of its own; or name the right "
        "file (launch.key_file)",
    )


def folder(path: str, trouble: str, mend: str) -> Line:
    """Judge the state folder; *trouble* is empty when it can be written to."""
    if not trouble:
        return ok("state folder", path)
    return wrong("state folder", trouble, where=path, mend=mend)

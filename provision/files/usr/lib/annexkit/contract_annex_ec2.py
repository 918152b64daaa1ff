"""Contract "annex-ec2": join the pool whose tarball upstream's condor_annex left in S3.

Upstream's client starts an instance without user data. The instance finds the tarball
by what it may ask with its role: its own client token, ANNEX_UUID, names the annex; a
resource "arn:aws:s3:::BUCKET/config-*.tar.gz" in a policy of the role names the bucket.

The tarball is never a file here, secrets are root's alone, and a second boot writes the
same files again. What fails is written to /run/annexkit/failed; a node on which
HTCondor does not come to run is ended by watch_annex_ec2.py.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import annex_tarball
from annex_tarball import Contents, File, TarballError
from aws_call import PATIENCE, AwsError, role_name
from aws_own import Aws
from contract import (
    CONFIG,
    FAILED,
    READY,
    ROOT,
    ContractError,
    instance,
    tell,
)
from htcondor_config import config, upstream_config
from imds import Imds, MetadataError
from lease import write
from node_files import put

# What an earlier boot installed, and on which node: {"instance", "files"}.
INSTALLED = Path(f"{ROOT}/var/lib/annexkit/annex-ec2.json")
REGION = "meta-data/placement/region"
TARBALL = re.compile(r"arn:aws[a-z-]*:s3:::([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.+)")
KEY = "config-*.tar.gz"
# Upstream's own script goes on for 3,000 s: a policy may be put right meanwhile.
LONG = {kind: 3000.0 if seconds else 0.0 for kind, seconds in PATIENCE.items()}
# A node that has it all from an earlier boot need not wait for what may be gone.
SHORT = {kind: min(seconds, 30.0) for kind, seconds in PATIENCE.items()}


def annex_name(token: str) -> str:
    """Return the annex that a client token names, ANNEX_UUID; a name may hold a "_".

    :raises ContractError: it is no token of condor_annex.
    """
    name, found, _ = token.rpartition("_")
    if not found or not re.fullmatch(r"[^/\0-\x1f]+", name):
        raise ContractError(
            "token",
            f"the instance's client token is {token!r}, not ANNEX_UUID: "
            "condor_annex did not start it as an on-demand instance",
        )
    return name


def buckets(policies: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the buckets that hold tarballs, by what the role may read."""
    found = []
    for statement in (s for policy in policies for s in listed(policy, "Statement")):
        if not isinstance(statement, dict) or statement.get("Effect") != "Allow":
            continue
        for resource in listed(statement, "Resource"):
            match = TARBALL.fullmatch(str(resource))
            if match and match[2] == KEY and match[1] not in found:
                found.append(match[1])
    return found


def listed(data: Mapping[str, Any], key: str) -> list[Any]:
    """Return a policy's element, which may be one thing or a list of them."""
    value = data.get(key, [])
    return value if isinstance(value, list) else [value]


def fetch(imds: Imds, node: str, patience: Mapping[str, float]) -> tuple[str, Contents]:
    """Return the annex's name, and what is in its tarball.

    :raises AwsError: it cannot be had.
    :raises ContractError: the node is none of condor_annex's, or names no bucket.
    :raises TarballError: the tarball is none.
    """
    region = imds.text(REGION) or ""
    aws = Aws(region, lambda error: tell(error.kind, str(error)), patience)
    annex = annex_name(aws.itself(node).token)
    role = role_name(imds)
    found = buckets(aws.policies(role))
    if not found:
        raise ContractError(
            "bucket", f"no policy of role {role} allows to read a bucket's {KEY}"
        )
    key = KEY.replace("*", annex)
    for bucket in found[:-1]:
        try:
            single = Aws(region, patience=dict.fromkeys(PATIENCE, 0.0))
            return annex, contents(single, bucket, key)
        except AwsError:
            continue  # the next one may have it; the last one may take its time
    return annex, contents(aws, found[-1], key)


def contents(aws: Aws, bucket: str, key: str) -> Contents:
    """Return what a tarball in S3 holds.

    :raises AwsError: it cannot be had.
    :raises TarballError: it is none; says where it lies.
    """
    try:
        return annex_tarball.read(aws.file(bucket, key, annex_tarball.LARGEST))
    except TarballError as error:
        raise TarballError(f"s3://{bucket}/{key}: {error}") from error


def install(found: Contents, node: str) -> None:
    """Put the tarball's files in their places, and take away what an earlier one left.

    What is there is written down first, so that no file is ever forgotten.
    """
    wanted = [file.path for file in found.files]
    before = installed()
    write(INSTALLED, said(node, sorted({*before.get("files", []), *wanted})), 0o600)
    for path in set(before.get("files", [])) - set(wanted):
        Path(ROOT + path).unlink(missing_ok=True)
    for file in found.files:
        put_file(file)
    write(INSTALLED, said(node, sorted(wanted)), 0o600)


def put_file(file: File) -> None:
    """Write one of the tarball's files; only root looks into the folders of secrets."""
    path = Path(ROOT + file.path)
    folder = 0o755 if path.parent == CONFIG else 0o700
    put(path, file.data, file.mode, folder)


def said(node: str, files: list[str]) -> str:
    """Return what INSTALLED holds."""
    return json.dumps({"instance": node, "files": files}, indent=1) + "\n"


def installed() -> dict[str, Any]:
    """Return what an earlier boot installed; nothing where there was none."""
    try:
        found = json.loads(INSTALLED.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def has_all(node: str) -> bool:
    """Say whether this node itself installed a tarball, and all of it is there."""
    before = installed()
    files = before.get("files") or []
    own = before.get("instance") == node and bool(files)
    return own and all(Path(ROOT + str(path)).is_file() for path in files)


def forget_others(node: str) -> None:
    """Take away what another node installed, of which somebody made this one's AMI."""
    before = installed()
    if before.get("instance") != node:
        for path in before.get("files", []):
            Path(ROOT + str(path)).unlink(missing_ok=True)


def set_up() -> None:
    """Configure the node, HTCondor's secrets last, and only then say "ready"."""
    os.umask(0o077)
    for path in (READY, FAILED):
        path.unlink(missing_ok=True)
    imds = Imds.from_environment()
    values = instance(imds)
    write(CONFIG / "49-annexkit-instance.config", config(values, ""), 0o644)
    body = upstream_config(values.get("EC2PublicIP", ""))
    write(CONFIG / "50-annex.config", body, 0o644)
    node = values["EC2InstanceID"]
    again = has_all(node)
    if not again:
        forget_others(node)
    try:
        annex, found = fetch(imds, node, SHORT if again else LONG)
        install(found, node)
        about = f"{annex}, tarball of the {found.layout} layout"
    except (AwsError, TarballError) as error:
        if not again:
            raise
        about = f"as set up at an earlier boot, since now {error}"
    FAILED.unlink(missing_ok=True)
    write(READY, "", 0o644)
    print(f"annexkit: annex {about}; how long it may be idle is the tarball's word")


def main() -> int:
    """Set the node up; exit code 1 and the reason when it cannot be."""
    try:
        set_up()
    except (ContractError, AwsError) as error:
        tell(error.kind, str(error))
    except TarballError as error:
        tell("tarball", str(error))
    except MetadataError as error:
        tell("metadata", str(error))
    except OSError as error:
        tell("node", str(error))
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())

"""Upstream's own condor_annex on a pool host, and AWS's names as it calls them.

The client is what the distribution packages, unchanged, run as an ordinary user. It
calls AWS by AWS's names (upstream_door.py), and the rehearsal answers. For one thing
that the rehearsal has not, the door stands in: upstream's function that looks whether
AWS reaches the collector.

``condor_annex -setup`` makes its bucket, role and functions by CloudFormation templates
in a bucket of upstream's; here :func:`set_up` makes the same by the API, and writes the
lines that it would.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3

from annexkit.commands.rehearse import pool_files
from annexkit.process import Completed
from annexkit.rehearsal import condor_pool, control, pool_jobs
from annexkit.rehearsal.pool_host import PoolHost
from annexkit.rehearsal.state import Rehearsal
from annexkit.sections import RehearsalSettings
from annexkit.waiting import wait_for
from tests.rehearsal.conftest import CACHE
from tests.rehearsal.upstream_door import CA, door

USER = "alice"
HOME = f"/home/{USER}"
CALLED = ("ec2", "iam", "lambda", "s3")
REGION = "us-west-2"
CLIENTS = {"23.9": "/usr/bin/condor_annex", "25.14": "/usr/libexec/condor/condor_annex"}
# What the client asks of the pool's own configuration, by version. Up to 24.10 its
# function speaks to the collector itself, not through the shared port; from 24.11 on
# the access point has a collector of its own for annexes.
POOL_PATH = "/etc/condor/config.d/70-upstream.config"
POOL = {
    "23.9": "COLLECTOR_USES_SHARED_PORT = False\nSHARED_PORT_PORT = 9620\n",
    "25.14": "use FEATURE: HPC_ANNEX\n",
}
# What a job must say to run on such a node.
JOB = {"23.9": "+MayUseAWS = True", "25.14": '+TargetAnnexName = "{annex}"'}
INTROSPECTION = (
    *("iam:GetRolePolicy", "iam:GetInstanceProfile", "iam:GetPolicy"),
    *("iam:GetPolicyVersion", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies"),
    *("ec2:DescribeInstances", "ec2:DescribeSpotFleetRequests"),
)


@dataclass(frozen=True)
class Account:
    """What ``-setup`` would have made, by the names of the client's settings."""

    bucket: str
    settings: dict[str, str]


@dataclass(frozen=True)
class Upstream:
    """A pool host whose user may start annexes by upstream's client."""

    host: PoolHost
    account: Account

    def start(self, annex: str, count: int = 1, *flags: str) -> Completed:
        """Start an annex; its exit code says nothing, its words do."""
        client = CLIENTS[self.host.htcondor]
        asked = ("-annex-name", annex, "-count", str(count), "-duration", "1")
        command = ("env", f"GAHP_SSL_CAFILE={CA}", client, *asked, *flags)
        return self.host.run(USER, *command, stdin="yes\n", check=False, timeout=180)

    def configure(self, path: str, text: str) -> None:
        """Write a file of the pool host's configuration."""
        self.host.run("root", "tee", path, stdin=text)

    def config_dir(self, files: Mapping[str, str]) -> str:
        """Make a folder of configuration for the client to add; return its path."""
        put = 'mkdir -p more && cat >"more/$1"'
        for name, text in files.items():
            self.host.run(USER, "sh", "-c", put, "sh", name, stdin=text)
        return f"{HOME}/more"

    def slots(self, annex: str) -> dict[str, dict[str, Any]]:
        """Return the slots of an annex by instance, as upstream's own tool has them."""
        asked = ["-constraint", f'AnnexName == "{annex}"', "-json"]
        if self.host.htcondor != "23.9":
            asked += ["-pool", self.collector]
        done = self.host.run(USER, "condor_status", *asked, check=False)
        ads = json.loads(done.stdout.strip() or "[]")
        return {str(ad["EC2InstanceID"]): ad for ad in ads}

    def job(self, annex: str, timeout: float = 90) -> pool_jobs.Job:
        """Run a job of the user's on an annex, and return how it ended."""
        also = JOB[self.host.htcondor].format(annex=annex)
        return pool_jobs.jobs(self.host, 1, annex, timeout=timeout, also=also)[0]

    @property
    def collector(self) -> str:
        """The collector that annexes join, as the client is told."""
        name = "COLLECTOR_HOST" if self.host.htcondor == "23.9" else "ANNEX_COLLECTOR"
        return self.host.run(USER, "condor_config_val", name).stdout.strip()

    def until_joined(self, annex: str, count: int = 1, timeout: float = 150) -> None:
        """Wait for the slots of an annex."""
        wait_for(
            lambda: len(self.slots(annex)) >= count,
            what=f"{count} slots of {annex}",
            timeout=timeout,
            poll=0.5,
        )


@contextmanager
def upstream(rehearsal: Rehearsal, htcondor: str) -> Iterator[Upstream]:
    """Bring up a pool host with upstream's client, ready to start annexes."""
    name = f"upstream-{htcondor.replace('.', '-')}"
    method = "password" if htcondor == "23.9" else "idtokens"
    files, hidden = pool_files(htcondor, method)
    files |= {POOL_PATH: POOL[htcondor]}
    files = {
        path: text.replace("cm.pool.test", f"cm-{name}.pool.test")
        for path, text in files.items()
    }
    where = RehearsalSettings(dir=str(rehearsal.dir))
    host = condor_pool.pool_up(
        where,
        Path(),
        cache=CACHE,
        htcondor=htcondor,
        files=files,
        secrets=hidden,
        method=method,
        name=name,
    )
    try:
        account = set_up(rehearsal)
        give_settings(host, account)
        with door(rehearsal, host, REGION, account.bucket):
            yield Upstream(host, account)
    finally:
        condor_pool.pool_down(where, Path(), name)


def standing(folder: Path) -> Rehearsal:
    """Return the rehearsal that is up in a folder."""
    return control.running(RehearsalSettings(dir=str(folder)), Path())


def set_up(rehearsal: Rehearsal) -> Account:
    """Make in the account what ``condor_annex -setup`` would make."""
    session: Any = boto3.Session("test", "test", region_name=REGION)
    made = {n: session.client(n, endpoint_url=rehearsal.endpoint) for n in CALLED}
    name = f"htcondor-annex-{uuid4().hex[:8]}"
    where = {"LocationConstraint": REGION}
    made["s3"].create_bucket(Bucket=name, CreateBucketConfiguration=where)
    profile = _role(made["iam"], name)
    group = made["ec2"].create_security_group(GroupName=name, Description=name)
    made["ec2"].create_key_pair(KeyName=name)
    role = made["iam"].get_role(RoleName=name)["Role"]["Arn"]
    code = {"ZipFile": _archive()}
    functions = [
        made["lambda"].create_function(
            FunctionName=f"{name}-{kind}",
            Runtime="python3.12",
            Role=role,
            Handler="index.handler",
            Code=code,
        )["FunctionArn"]
        for kind in ("lease", "connectivity")
    ]
    settings = {
        "S3_BUCKET": name,
        "ODI_INSTANCE_PROFILE_ARN": profile,
        "ODI_SECURITY_GROUP_IDS": group["GroupId"],
        "ODI_KEY_NAME": name,
        "ODI_INSTANCE_TYPE": "t3.small",
        "ODI_LEASE_FUNCTION_ARN": functions[0],
        "CONNECTIVITY_FUNCTION_ARN": functions[1],
        "ACCESS_KEY_FILE": f"{HOME}/.condor/public",
        "SECRET_KEY_FILE": f"{HOME}/.condor/private",
    }
    return Account(name, settings)


def _role(iam: Any, name: str) -> str:
    """Make the instance profile of upstream's template, and return its ARN."""
    trust = statement("sts:AssumeRole", Principal={"Service": "ec2.amazonaws.com"})
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
    read = statement("s3:GetObject", Resource=f"arn:aws:s3:::{name}/config-*.tar.gz")
    for title, document in (
        ("Configuration", read),
        ("Introspection", statement(*INTROSPECTION, Resource="*")),
    ):
        iam.put_role_policy(RoleName=name, PolicyName=title, PolicyDocument=document)
    made = iam.create_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return str(made["Arn"])


def statement(*actions: str, **more: Any) -> str:
    """Return a policy of one statement that allows *actions*."""
    allowed = {"Effect": "Allow", "Action": list(actions), **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [allowed]})


def _archive() -> bytes:
    """Return the code of a function that nobody calls."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("index.py", "def handler(event, context):\n    return {}\n")
    return data.getvalue()


def give_settings(host: PoolHost, account: Account) -> None:
    """Write the user's files: keys, and the lines that ``-setup`` prints."""
    lines = [f"ANNEX_DEFAULT_AWS_REGION = {REGION}"]
    prefix = REGION.replace("-", "_")
    lines += [
        f"{prefix}.ANNEX_DEFAULT_{name} = {value}"
        for name, value in account.settings.items()
    ]
    if host.method == "password":
        lines.append(f"SEC_PASSWORD_FILE = {HOME}/.condor/password")
        secret = "/etc/condor/condor_pool_password"
        copy = ("install", "-D", "-o", USER, "-m", "0600", secret)
        host.run("root", *copy, f"{HOME}/.condor/password")
    put = 'umask 077 && mkdir -p .condor && cat >".condor/$1"'
    files = {
        "user_config": "\n".join(lines) + "\n",
        "public": "AKIAIOSFODNN7EXAMPLE\n",
        "private": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n",
        "annex_password_file": uuid4().hex,
    }
    host.run("root", "install", "-d", "-o", USER, "-m", "0700", f"{HOME}/.condor")
    for name, text in files.items():
        host.run(USER, "sh", "-c", put, "sh", name, stdin=text)

"""No secret of a launch is where it does not belong, and it opens only what it should.

Looked for is what was secret in this very run: the token or password of the nodes, the
annex's private key, and whatever the cloud handed out (role credentials, metadata
tokens, the value in SSM).
"""

from __future__ import annotations

import base64
import io
import json
import re
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from annexkit.rehearsal import pool_jobs
from annexkit.rehearsal.podman import Podman
from annexkit.waiting import wait_for
from tests.conftest import Baked
from tests.rehearsal.annexes import LONG, Grounds, grounds
from tests.rehearsal.test_secrets import (
    OF_THIS_RUN,
    pattern,
    scan_file,
    scan_folder,
)
from tests.stage import LONGEST, Place

pytestmark = pytest.mark.machines

FILES = {
    "idtokens": "/etc/condor/tokens.d/annex",
    "password": "/etc/condor/condor_pool_password",
}
MASK = b"\xde\xad\xbe\xef"  # what condor_store_cred scrambles a password with
SCOPES = {"READ", "ADVERTISE_STARTD", "ADVERTISE_MASTER"}
LEASE, GRACE = 7200, 3600  # launch.lease, pool.token_grace
CLOUD_INIT = re.compile(r"var/lib/cloud/instances/i-\w+/obj\.pkl")
MOST_USER_DATA = 16384  # bytes (EC2 user guide)


@dataclass(frozen=True)
class Launched:
    """A launch that is over, and what was to be seen while it ran.

    :param seen: every command line of this host and its machines, and every file of
        the state folder, as they were at any moment of the launch.
    :param known: all that was secret in it; ``own`` is annexkit's part of that.
    """

    found: Grounds
    node: str
    secret: str
    seen: bytes
    known: re.Pattern[bytes]
    own: re.Pattern[bytes]
    called: list[str]
    began: float

    @property
    def key(self) -> Path:
        return self.found.place.state / "annexes" / "grid" / "id_ed25519"


@pytest.fixture(
    scope="module",
    params=["idtokens", pytest.param("password", marks=pytest.mark.matrix)],
)
def launched(
    request: pytest.FixtureRequest,
    baked: Baked,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Launched]:
    """One node, launched while somebody looks over the launcher's shoulder."""
    folder = tmp_path_factory.mktemp("security") / "place"
    with grounds(baked.place.copy(folder), "25.14", request.param) as found:
        stage = found.place.stage
        stage.calm()
        handed_out = len(stage.ask("secrets"))
        began = time.time()
        seen = watched(found.place, "launch", "--annex-name", "grid", "--idle", LONG)
        called = stage.called()
        (node,) = found.ids("grid")
        secret = secret_of(found, node)
        key = found.place.state / "annexes" / "grid" / "id_ed25519"
        given = [one for one in stage.ask("secrets")[handed_out:] if one]
        assert secret in given, "SSM was never asked for the secret"
        assert len(set(given)) >= 3, "role credentials and a metadata token, too"
        own = [secret, private_line(key)]
        yield Launched(
            *(found, node, secret, seen),
            *(pattern([*given, *own]), pattern(own), called, began),
        )


def private_line(key: Path) -> str:
    """Return a line of a key file that no other key and no public key has."""
    return key.read_text().splitlines()[3]


def watched(place: Place, *arguments: str) -> bytes:
    """Run a command to its end, and return all that could be seen meanwhile."""
    command, seen = place.start(*arguments), set[bytes]()

    def over() -> bool:
        seen.update(read(path) for path in Path("/proc").glob("[0-9]*/cmdline"))
        journal = [*place.state.glob("journal/*"), *place.state.glob("annexes/*/*")]
        seen.update(read(path) for path in journal if path.name != "id_ed25519")
        return command.process.poll() is not None

    wait_for(over, what="the launch", timeout=LONGEST, poll=0.01)
    done = command.ended()
    assert done.exit_code == 0, done.stderr
    return b"\n".join(sorted(seen))


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended meanwhile
        return b""


def secret_of(found: Grounds, node: str) -> str:
    """Read the token or the password as it lies on the node."""
    said = found.on(node, "base64", FILES[found.method]).stdout
    data = base64.b64decode(said)
    if found.method == "password":
        data = bytes(one ^ MASK[i % len(MASK)] for i, one in enumerate(data))
    return data.decode().strip()


def test_what_could_be_seen_during_the_launch_held_no_secret(
    launched: Launched,
) -> None:
    assert not launched.known.search(launched.seen)
    assert b"RunInstances" not in launched.seen
    assert b'"kind": "launch"' in launched.seen or b'"kind":"launch"' in launched.seen
    if launched.found.method == "idtokens":
        assert b"condor_token_create\0" in launched.seen, "nobody looked in time"


def test_what_ec2_tells_of_it_holds_no_secret(launched: Launched) -> None:
    told = everything_told(launched)
    assert launched.node.encode() in told
    assert launched.known.search(told) is None
    assert scan_file("told", io.BytesIO(told), launched.known) == set()
    assert not [one for one in launched.called if "LaunchTemplate" in one]


def everything_told(launched: Launched) -> bytes:
    """Return whatever may be asked about an annex: by people with read rights."""
    found, ec2 = launched.found, launched.found.ec2
    asked = {"InstanceId": launched.node, "Attribute": "userData"}
    value = ec2.describe_instance_attribute(**asked)["UserData"]["Value"]
    user_data = base64.b64decode(value)
    assert len(user_data) <= MOST_USER_DATA
    assert b"annex.json" in user_data
    scheduler, iam = found.client("scheduler"), found.client("iam")
    templates = ec2.describe_launch_templates()["LaunchTemplates"]
    assert templates == []
    told: list[Any] = [
        ec2.describe_instances(InstanceIds=[launched.node]),
        ec2.describe_volumes(),
        ec2.describe_network_interfaces(),
        ec2.describe_tags(),
        ec2.describe_security_groups(),
        ec2.describe_key_pairs(),
        ec2.get_console_output(InstanceId=launched.node),
        found.client("ssm").describe_parameters(),
        iam.list_roles(),
        iam.get_role_policy(RoleName="annexkit-node", PolicyName="annexkit"),
        *(
            scheduler.get_schedule(Name=one["Name"], GroupName=one["GroupName"])
            for one in scheduler.list_schedules()["Schedules"]
        ),
    ]
    return user_data + json.dumps(told, default=str).encode()


def test_the_secret_is_gone_from_ssm(launched: Launched) -> None:
    assert "DeleteParameter" in launched.called
    assert launched.found.client("ssm").describe_parameters()["Parameters"] == []


def test_state_folder_and_output_hold_no_secret_but_the_key(
    launched: Launched,
) -> None:
    folder = launched.found.place.folder
    names = {path.name for path in folder.rglob("*")}
    assert {"record.json", "known_hosts", "stdout", "stderr", "journal"} <= names
    found = scan_folder(folder, launched.known)
    assert {one.where for one in found} == {str(launched.key.relative_to(folder))}
    assert launched.key.stat().st_mode & 0o777 == 0o400


def test_on_the_node_the_secret_is_in_one_file_of_roots(launched: Launched) -> None:
    found, node = launched.found, launched.node
    path = FILES[found.method]
    mode = found.on(node, "stat", "-c", "%a %U %G", path).stdout.split()
    assert mode == ["600", "root", "root"]
    holding = files_with_a_secret(launched)
    # A scrambled password is not found as it is.
    expected = {path.removeprefix("/")} if found.method == "idtokens" else set()
    # What the metadata service told cloud-init, which keeps it for root alone.
    cached = {one for one in holding if CLOUD_INIT.fullmatch(one)}
    assert holding == expected | cached
    for one in cached:
        mode = found.on(node, "stat", "-c", "%a %U", f"/{one}").stdout.split()
        assert mode in (["400", "root"], ["600", "root"])
        kept = found.on(node, "base64", f"/{one}").stdout
        assert not launched.own.search(base64.b64decode(kept))
    running = b"".join(
        base64.b64decode(line)
        for line in found.on(
            node,
            "sh",
            "-c",
            "for p in /proc/[0-9]*/cmdline; do base64 -w0 $p; echo; done",
        ).stdout.split()
    )
    assert b"condor_startd" in running
    assert not launched.known.search(running)


def files_with_a_secret(launched: Launched) -> set[str]:
    """Look through the whole file system of the node, and what it holds in memory."""
    found = launched.found
    stage = found.place.stage
    podman = Podman(stage.rehearsal.id, stage.rehearsal.runtime)
    tarball = found.place.folder.parent / "node.tar"
    machines = stage.machines()
    name = next(m["container"] for m in machines if m["instance"] == launched.node)
    podman.call("export", "--output", tarball, name, timeout=300)
    hits: set[str] = set()
    with tarfile.open(tarball) as archive:
        members = [member for member in archive if member.isreg()]
        assert len(members) > 5000, "this is not a whole system"
        for member in members:
            file = archive.extractfile(member)
            assert file
            some = scan_file(member.name, file, launched.known)
            hits |= {one.where for one in some if one.what == OF_THIS_RUN}
    tarball.unlink()
    search = ("grep", "-rlaF", launched.secret, "/run", "/tmp", "/dev/shm")
    return hits | set(found.on(launched.node, *search, check=False).stdout.split())


def test_a_planted_secret_is_found_in_every_one_of_them(
    launched: Launched, tmp_path: Path
) -> None:
    found, known = launched.found, launched.known
    secret = launched.secret.encode()
    assert known.search(b"condor --token " + secret)
    assert known.search(b"user data: " + base64.b64encode(secret))
    copy = found.place.copy(tmp_path / "copy").folder
    for place in (copy / "state" / "journal" / "x.json", copy / "log", copy / "err"):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"x" * 100 + secret)
    assert len({one.where for one in scan_folder(copy, known)}) == 3
    found.on(launched.node, "sh", "-c", "cat >/opt/planted", stdin=launched.secret)
    found.on(launched.node, "sh", "-c", "cat >/run/planted", stdin=launched.secret)
    assert {"opt/planted", "/run/planted"} <= files_with_a_secret(launched)
    found.on(launched.node, "rm", "/opt/planted", "/run/planted")


# Each line of what a job may try on the node; what it can read it prints.
CURIOUS = """\
timeout 5 bash -c "exec 3<>/dev/tcp/169.254.169.254/80" && echo metadata; \
for f in {files}; do cat $f && echo read $f; done; \
ls /etc/condor/tokens.d && echo listed; \
cat /proc/[0-9]*/environ | tr -d x && echo environ; \
id -un; echo over"""
SECRET_FILES = (
    *FILES.values(),
    "/etc/annexkit/annex.json",
    "/var/lib/cloud/instance/user-data.txt",
    "/run/cloud-init/instance-data-sensitive.json",
    "/etc/condor/passwords.d/POOL",
    "/etc/shadow",
)


def test_a_job_reaches_neither_metadata_nor_a_secret(launched: Launched) -> None:
    found, node = launched.found, launched.node
    script = CURIOUS.format(files=" ".join(SECRET_FILES))
    said = a_job(found, script)
    assert said.split()[-2:] == ["nobody", "over"], said
    assert not re.search(r"metadata|read /|listed", said), said
    assert not launched.known.search(said.encode())
    # The same as root: all of it is there to be had.
    by_root = found.on(node, "bash", "-c", script).stdout
    assert "metadata" in by_root
    assert f"read {FILES[found.method]}" in by_root


def a_job(found: Grounds, script: str) -> str:
    """Run a script as a job of alice on the annex, and return what it printed."""
    text = pool_jobs.SUBMIT.format(count=1, annex="grid", seconds=0, also="")
    path = "/home/alice/curious"
    write = ("sh", "-c", f"cat >{path} && chmod 755 {path}")
    found.host.run("alice", *write, stdin=f"#!/bin/bash\n{script}\n")
    text = re.sub(r"executable = .*", f"executable = {path}", text)
    text = re.sub(r"(?m)^arguments = .*\n", "", text)
    text = text.replace("transfer_executable = false", "transfer_executable = true")
    said = found.host.run("alice", "condor_submit", "-terse", "-", stdin=text).stdout
    cluster = said.partition(".")[0]
    (job,) = wait_for(
        lambda: pool_jobs.done(found.host, cluster),
        what="the job",
        timeout=60,
        poll=0.5,
    )
    return job.output


def test_the_token_says_what_it_may_and_until_when(launched: Launched) -> None:
    if launched.found.method != "idtokens":
        pytest.skip("a password says nothing")
    claims = claims_of(launched.secret)
    assert set(claims["scope"].split()) == {f"condor:/{one}" for one in SCOPES}
    assert claims["sub"] == "annex@pool.test"
    assert 0 <= claims["exp"] - (launched.began + LEASE + GRACE) <= 120


def claims_of(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))

"""A real pool beside the machines, and the API as machines reach it."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from annexkit.process import run
from annexkit.rehearsal import condor_pool, control, firmware, pool_host, pool_jobs
from annexkit.rehearsal.pool_host import PoolHost
from annexkit.rehearsal.state import Rehearsal
from tests.rehearsal.conftest import CACHE, SETTINGS
from tests.rehearsal.guests import Region, a_profile, a_role, boot, client

pytestmark = pytest.mark.machines

CONFIG = """\
use ROLE: CentralManager
use ROLE: Submit
use ROLE: Execute
CONDOR_HOST = $(IP_ADDRESS)
UID_DOMAIN = pool.test
TRUST_DOMAIN = pool.test
ENABLE_IPV6 = False
STARTER_ALLOW_RUNAS_OWNER = False
AnnexName = "grid"
STARTD_ATTRS = $(STARTD_ATTRS) AnnexName
START = TRUE
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_MIN_INTERVAL = 1
NEGOTIATOR_CYCLE_DELAY = 1
SCHEDD_INTERVAL = 2
"""
PATH = "/etc/condor/config.d/60-pool.config"
SECRET = "/etc/condor/condor_pool_password"


def bring_up(root: Path, htcondor: str, name: str) -> PoolHost:
    return condor_pool.pool_up(
        SETTINGS,
        root,
        cache=CACHE,
        htcondor=htcondor,
        files={PATH: CONFIG},
        secrets={SECRET: b"p\x01ssword"},
        name=name,
    )


@pytest.fixture
def named(rehearsal: Rehearsal, root: Path) -> Iterator[str]:
    """The name of a pool host that is removed in the end."""
    yield "trial"
    condor_pool.pool_down(SETTINGS, root, "trial")


@pytest.mark.parametrize("htcondor", ["23.9", "25.14"])
def test_a_pool_runs_jobs_and_makes_tokens(
    rehearsal: Rehearsal, root: Path, named: str, htcondor: str
) -> None:
    before = kernel_settings()
    host = bring_up(root, htcondor, named)
    assert host.version.startswith(htcondor)
    assert bring_up(root, htcondor, named) == host, "it is up as it is asked for"
    done = pool_jobs.jobs(host, 2, "grid", seconds=0, timeout=60)
    assert [job.exit_code for job in done] == [0, 0]
    assert done[0].output.split() == [host.hostname, "nobody"]
    mode = host.run("root", "stat", "-c", "%a %U", SECRET).stdout
    assert mode.split() == ["600", "root"]
    assert host.run("alice", "cat", SECRET, check=False).exit_code != 0
    found = control.environment(rehearsal, named)
    filled = {"identity": "annex@pool.test", "lifetime": 60, "authz": "-authz READ"}
    command = found["INVOKE_ANNEXKIT_POOL_TOKEN_COMMAND"].format(**filled)
    assert run(*shlex.split(command)).stdout.count(".") == 2
    copy = Path(found["INVOKE_ANNEXKIT_POOL_PASSWORD_FILE"])
    assert (copy.read_bytes(), copy.stat().st_mode & 0o777) == (b"p\x01ssword", 0o600)
    assert kernel_settings() == before
    assert condor_pool.pool_down(SETTINGS, root, named)
    assert not condor_pool.pool_down(SETTINGS, root, named)


@pytest.mark.skipif(not find_spec("htcondor2"), reason="needs the htcondor bindings")
def test_this_host_may_ask_the_collector(
    rehearsal: Rehearsal, root: Path, named: str
) -> None:
    host = bring_up(root, "25.14", named)
    config = control.environment(rehearsal, named)["CONDOR_CONFIG"]
    asked = asked_by_this_host(host, config)
    assert {"Collector", "Negotiator", "Scheduler"} <= asked


def asked_by_this_host(host: PoolHost, config: str) -> set[str]:
    """Ask the collector by the Python bindings, and return the types of its ads."""
    code = (
        "import htcondor2, sys; c = htcondor2.Collector(sys.argv[1]);"
        "print(*(ad['MyType'] for ad in c.query(htcondor2.AdTypes.Any)))"
    )
    env = {**os.environ, "CONDOR_CONFIG": config}
    done = run(sys.executable, "-c", code, host.collector, env=env)
    return set(done.stdout.split())


def kernel_settings() -> list[str]:
    """Return settings of this host's kernel that HTCondor's master would change."""
    names = ("vm/dirty_ratio", "vm/dirty_background_ratio", "kernel/pid_max")
    return [Path("/proc/sys", name).read_text() for name in names]


def test_two_pools_stand_side_by_side_and_machines_know_their_names(
    region: Region, root: Path, named: str
) -> None:
    hosts = [bring_up(root, "25.14", name) for name in (named, "other")]
    try:
        assert len({host.address for host in hosts}) == 2
        guest = boot(region)
        for host in hosts:
            found = guest.output(f"getent hosts {host.hostname}")
            assert found.split() == [host.address, host.hostname]
            port = f"/dev/tcp/{host.address}/{pool_host.PORT}"
            assert guest.run(f"timeout 5 bash -c 'true <{port}'")[0] == 0
    finally:
        condor_pool.pool_down(SETTINGS, root, "other")


ASK = """\
import json, sys, urllib.error, urllib.request
url, name = sys.argv[1:]
def get(path, method="GET", **headers):
    asked = urllib.request.Request(path, method=method, headers=headers)
    return urllib.request.urlopen(asked, timeout=5).read().decode()
imds = "http://169.254.169.254/latest/"
token = get(imds + "api/token", "PUT", **{"X-aws-ec2-metadata-token-ttl-seconds": "60"})
ask = {"X-aws-ec2-metadata-token": token}
path = imds + "meta-data/iam/security-credentials/"
try:
    key = json.loads(get(path + get(path, **ask), **ask))["AccessKeyId"]
except urllib.error.HTTPError:
    key = "AKIAGUESSED"
scope = key + "/20260101/us-west-2/ssm/aws4_request"
headers = {
    "X-Amz-Target": "AmazonSSM.GetParameter",
    "Content-Type": "application/x-amz-json-1.1",
    "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, Signature=0",
}
body = json.dumps({"Name": name, "WithDecryption": True}).encode()
try:
    print(urllib.request.urlopen(urllib.request.Request(url, body, headers)).read())
except urllib.error.HTTPError as error:
    print(error.read())
"""


def test_a_machine_reads_what_its_role_allows_and_nothing_else(
    region: Region, rehearsal: Rehearsal
) -> None:
    ssm, secret = client(rehearsal, "ssm"), f"s3cret-{time.time()}"
    for name in ("/annexkit/grid/1", "/other/1"):
        ssm.put_parameter(Name=name, Value=secret, Type="SecureString", Overwrite=True)
    allowed = "arn:aws:ssm:*:*:parameter/annexkit/*"
    role = a_role(rehearsal, "ec2.amazonaws.com", "ssm:GetParameter", allowed)
    profile = a_profile(rehearsal, role)
    guest = boot(region, IamInstanceProfile={"Name": profile["name"]})
    env = guest.output("systemctl show-environment")
    url = f"http://{firmware.API_ADDRESS}:{firmware.API_PORT}"
    assert f"AWS_ENDPOINT_URL={url}" in env.splitlines()

    def ask(name: str) -> str:
        return guest.output(f"sudo python3 -c {shlex.quote(ASK)} {url} {name}")

    assert secret in ask("/annexkit/grid/1")
    refused = ask("/other/1")
    assert "AccessDeniedException" in refused
    assert secret not in refused
    assert guest.run(f"curl -sf {url}/_rehearsal/secrets")[0] != 0
    assert secret in control.ask(rehearsal, "secrets")
    client(rehearsal, "iam").delete_role_policy(RoleName=role, PolicyName="own")
    assert "AccessDeniedException" in ask("/annexkit/grid/1")
    stranger = boot(region)
    said = stranger.output(f"sudo python3 -c {shlex.quote(ASK)} {url} /annexkit/grid/1")
    assert "UnrecognizedClientException" in said

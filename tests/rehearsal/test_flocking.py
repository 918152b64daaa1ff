"""Flocking as docs/central-manager-in-aws.md has it, between two pools here.

annexkit does none of this by itself but ``pool.config``: what the page tells people to
write by hand is read from the page.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from annexkit.pool.config import render
from annexkit.pool.target import Pool
from annexkit.rehearsal import condor_pool, pool_jobs
from annexkit.rehearsal.pool_host import PoolHost
from annexkit.rehearsal.state import Rehearsal
from annexkit.waiting import wait_for
from tests.rehearsal.conftest import CACHE, SETTINGS

pytestmark = [pytest.mark.machines, pytest.mark.matrix]

PAGE = Path(__file__).parents[2] / "docs" / "central-manager-in-aws.md"
FOLDER = "/etc/condor/config.d"
KEY = "/etc/condor/passwords.d/POOL"
TOKEN = "/etc/condor/tokens.d/{}"
BASE = """\
CONDOR_HOST = {host}
UID_DOMAIN = {domain}
TRUST_DOMAIN = {domain}
ENABLE_IPV6 = False
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_MIN_INTERVAL = 1
NEGOTIATOR_CYCLE_DELAY = 1
SCHEDD_INTERVAL = 2
UPDATE_INTERVAL = 5
"""
MANAGER = "use ROLE: CentralManager\nuse ROLE: Submit\n"
NODE = """\
use ROLE: Execute
CCB_ADDRESS = $(COLLECTOR_HOST)
STARTER_ALLOW_RUNAS_OWNER = False
AnnexName = "grid"
STARTD_ATTRS = $(STARTD_ATTRS) AnnexName
START = TRUE
"""
AWS = Pool(
    "cm-aws.pool.test",
    trust_domain="aws.example.org",
    uid_domain="aws.example.org",
    identity="annex@aws.example.org",
)


class Pools:
    """Hosts that come up for a test and go with it."""

    def __init__(self, root: Path, htcondor: str, stack: ExitStack) -> None:
        self.root, self.htcondor, self.stack = root, htcondor, stack

    def up(
        self, name: str, files: dict[str, str], secrets: dict[str, str | bytes]
    ) -> PoolHost:
        self.stack.callback(condor_pool.pool_down, SETTINGS, self.root, name)
        return condor_pool.pool_up(
            SETTINGS,
            self.root,
            cache=CACHE,
            htcondor=self.htcondor,
            files={f"{FOLDER}/{path}": text for path, text in files.items()},
            secrets=secrets,
            name=name,
        )


@pytest.fixture(params=["23.9", "25.14"])
def pools(
    request: pytest.FixtureRequest, rehearsal: Rehearsal, root: Path
) -> Iterator[Pools]:
    with ExitStack() as stack:
        yield Pools(root, request.param, stack)


def of_page(title: str, **filled: str) -> str:
    """Return the file of configuration that the page shows under a title."""
    pattern = rf"`[^`]*/{re.escape(title)}`(?:[^`]|`[^`]+`)*?```\n(.*?)```"
    (found,) = re.findall(pattern, PAGE.read_text(), re.DOTALL)
    text = textwrap.dedent(found).rstrip(" ")
    for name, value in filled.items():
        assert name in text
        text = text.replace(name, value)
    return str(text)


def scopes_of_page() -> list[str]:
    """Return what the page's command makes a token for."""
    (command,) = re.findall(r"condor_token_create -identity flock@.*", PAGE.read_text())
    return re.findall(r"-authz (\w+)", command)


def test_a_users_job_flocks_to_the_pool_in_aws(pools: Pools) -> None:
    own = render(f"{pools.htcondor}.0", {"cm"}, AWS)
    aws = pools.up(
        "aws",
        {
            "10-pool.config": MANAGER
            + BASE.format(host=AWS.host, domain=AWS.trust_domain),
            **{Path(path).name: text for path, text in own.items()},
            "85-flocking.config": of_page("85-flocking.config"),
        },
        {},
    )
    member = aws.issue_token(
        AWS.identity, ["READ", "ADVERTISE_STARTD", "ADVERTISE_MASTER"]
    )
    pools.up(
        "aws-node",
        {"10-pool.config": NODE + BASE.format(host=aws.address, domain=AWS.uid_domain)},
        {TOKEN.format("annex"): f"{member}\n", KEY: "its own key"},
    )
    token = aws.issue_token("flock@aws.example.org", scopes_of_page())
    home = pools.up(
        "home",
        {
            "10-pool.config": MANAGER
            + BASE.format(host="cm-home.pool.test", domain="home.example.org"),
            "85-flock-to-aws.config": of_page(
                "85-flock-to-aws.config", **{"cm.aws.example.org": aws.address}
            ),
        },
        {},
    )
    # Without the token the other pool never hears of the jobs.
    cluster = pool_jobs.submit(home, 1, "grid", seconds=0)
    refused = ("grep", "-q", "Failed to send.*\\|DENIED\\|Failed to authenticate")
    wait_for(
        lambda: (
            home.run(
                "root", *refused, "/var/log/condor/SchedLog", check=False
            ).exit_code
            == 0
        ),
        what="a refusal",
        timeout=60,
        poll=0.5,
    )
    assert submitters(aws) == []
    put = f"umask 077; cat >{TOKEN.format('aws')}"
    home.run("root", "sh", "-c", put, stdin=f"{token}\n")
    home.run("root", "condor_reconfig")
    (job,) = wait_for(
        lambda: pool_jobs.done(home, cluster), what="the job", timeout=120, poll=0.5
    )
    assert job.output.split() == ["cm-aws-node.pool.test", "nobody"]
    assert submitters(aws) == ["alice@home.example.org"]
    assert home.run("alice", "condor_status", "-af", "Name").stdout == ""


def submitters(host: PoolHost) -> list[str]:
    """Return whose jobs a pool hears of."""
    return host.run(
        "root", "condor_status", "-submitters", "-af", "Name"
    ).stdout.split()

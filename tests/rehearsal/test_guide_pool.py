"""The pool's file of the 2016 guide on today's HTCondor: what it breaks, what mends it.

Done as the guide's step 8 has it, on a central manager and access point that stood
before: the password by ``invoke pool.secret``, then the guide's own file. annexkit runs
on that host, as a person would run it there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from annexkit.pool import guide
from annexkit.pool.password import scrambled
from annexkit.rehearsal import condor_pool, pool_jobs
from annexkit.rehearsal.pool_host import PoolHost
from annexkit.rehearsal.state import Rehearsal
from annexkit.waiting import wait_for
from tests.conftest import Baked
from tests.rehearsal.annexes import LONG, grounds
from tests.rehearsal.carried import Carried, carry
from tests.rehearsal.conftest import CACHE, SETTINGS
from tests.unit.pool import guide_file

pytestmark = [pytest.mark.machines, pytest.mark.matrix]

FOLDER = "/etc/condor/config.d"
GUIDE = f"{FOLDER}/{guide_file.NAME}"
WORKS = f"{FOLDER}/99_condor_annex_passwd_annexkit.config"
OWN = f"{FOLDER}/80-annexkit-pool.config"
PASSWORD_FILE = "/etc/condor/condor_pool_password"
PASSWORD = "correct horse battery staple"
# As administrators have it, and as the guide has it for a node that knows the password.
POOL = """\
use ROLE: CentralManager
use ROLE: Submit
CONDOR_HOST = cm-guide.pool.test
UID_DOMAIN = pool.test
TRUST_DOMAIN = pool.test
ENABLE_IPV6 = False
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_MIN_INTERVAL = 1
NEGOTIATOR_CYCLE_DELAY = 1
SCHEDD_INTERVAL = 2
"""
NODE = """\
use ROLE: Execute
CONDOR_HOST = {address}
UID_DOMAIN = pool.test
TRUST_DOMAIN = pool.test
ENABLE_IPV6 = False
SEC_DEFAULT_AUTHENTICATION_METHODS = FS, PASSWORD
SEC_PASSWORD_FILE = /etc/condor/condor_pool_password
ALLOW_DAEMON = condor_pool@* condor@*
STARTER_ALLOW_RUNAS_OWNER = False
AnnexName = "grid"
STARTD_ATTRS = $(STARTD_ATTRS) AnnexName
START = TRUE
UPDATE_INTERVAL = 5
"""
# How 23.9 and 25.14 say that a tool has nothing to prove itself by.
REFUSALS = ("Failed to authenticate with any method", "No auth methods")


@pytest.fixture
def host(rehearsal: Rehearsal, root: Path, htcondor: str) -> Iterator[PoolHost]:
    """A central manager and access point that serves its users."""
    yield bring_up(root, htcondor, "guide", POOL, {})
    condor_pool.pool_down(SETTINGS, root, "guide")


def bring_up(
    root: Path, htcondor: str, name: str, config: str, secrets: dict[str, bytes]
) -> PoolHost:
    return condor_pool.pool_up(
        SETTINGS,
        root,
        cache=CACHE,
        htcondor=htcondor,
        files={f"{FOLDER}/10-pool.config": config},
        secrets=secrets,
        name=name,
    )


@pytest.fixture
def node(host: PoolHost, root: Path) -> Iterator[PoolHost]:
    """An execute node that knows the password, and nothing else to prove itself by.

    It is made as a pool's host is, which ends by making a token: so it has a key for
    that, which nobody else knows.
    """
    secrets = {
        PASSWORD_FILE: scrambled(PASSWORD),
        "/etc/condor/passwords.d/POOL": b"its own key",
    }
    config = NODE.format(address=host.address)
    yield bring_up(root, host.htcondor, "guide-node", config, secrets)
    condor_pool.pool_down(SETTINGS, root, "guide-node")


@pytest.fixture
def carried(host: PoolHost, tmp_path: Path, method: str) -> Carried:
    """annexkit on the host, with the settings of its pool."""
    return carry(
        host,
        tmp_path,
        POOL_COLLECTOR=host.hostname,
        POOL_METHOD=method,
        POOL_TRUST_DOMAIN="pool.test",
        POOL_UID_DOMAIN="pool.test",
    )


def restart(host: PoolHost) -> None:
    host.run("root", "systemctl", "restart", "condor")


def restart_as_told(host: PoolHost) -> None:
    """Restart HTCondor as ``invoke pool.config`` says, by its own tool."""
    before = collector_of(host)
    host.run("root", "condor_restart")
    wait_for(
        lambda: collector_of(host) not in ("", before),
        what="another collector",
        timeout=60,
        poll=0.5,
    )
    until_it_serves(host)


def collector_of(host: PoolHost) -> str:
    return host.run("root", "pgrep", "condor_collect", check=False).stdout.strip()


def until_it_serves(host: PoolHost) -> None:
    """Wait until a user's own tool sees all that a pool has."""
    asked = ("condor_status", "-any", "-af", "MyType")

    def seen() -> bool:
        said = host.run("alice", *asked, check=False).stdout.split()
        return {"Collector", "Negotiator", "Scheduler"} <= set(said)

    wait_for(seen, what="the pool", timeout=60, poll=0.5)


def until_it_listens(host: PoolHost) -> str:
    """Wait until the collector answers at all, and return what a user's tool says."""

    def said() -> str:
        done = host.run("alice", "condor_status", "-any", check=False)
        text = done.stdout + done.stderr
        return "" if "Failed to connect" in text or "Can't find" in text else text

    return wait_for(said, what="the collector", timeout=60, poll=0.5)


@pytest.mark.parametrize(
    ("htcondor", "method"),
    [("23.9", "password"), ("25.14", "password"), ("25.14", "idtokens")],
)
def test_the_guides_own_file_breaks_the_pool_and_pool_config_mends_it(
    host: PoolHost, carried: Carried, request: pytest.FixtureRequest
) -> None:
    # Step 8, as the guide has it.
    carried.invoke("pool.secret", stdin=f"{PASSWORD}\n")
    write = ("sh", "-c", f"cat >{GUIDE}")
    host.run("root", *write, stdin=guide_file.TEXT)
    restart(host)

    # No tool works any more, and pool.check says which line does that.
    assert any(words in until_it_listens(host) for words in REFUSALS)
    assert host.run("root", "condor_reconfig", check=False).exit_code != 0
    found = carried.told("pool.check", code=1)["findings"]
    of_file = {f["where"]: f["what"] for f in found if f["where"].startswith(GUIDE)}
    assert len(of_file) == 15
    wrong = {f["where"] for f in found if f["level"] == "error"}
    assert {f"{GUIDE}, line {line}" for line in (4, 8, 12, 17)} <= wrong
    assert "every tool" in of_file[f"{GUIDE}, line 4"]

    # The difference first; then, and only then, what works.
    shown = carried.told("pool.config")
    assert f"--- {GUIDE}\n+++ {WORKS}\n" in shown["difference"]
    there = host.run("root", "ls", FOLDER).stdout.split()
    assert not {Path(WORKS).name, Path(OWN).name} & set(there)
    assert carried.told("pool.config", "--write")["difference"] == shown["difference"]
    assert host.run("root", "cat", GUIDE).stdout == guide_file.TEXT
    restart_as_told(host)

    # Nothing is left to mend, and a node that knows the password runs a user's job.
    again = carried.told("pool.config", "--write")
    assert (again["difference"], again["written"]) == ("", False)
    assert errors(carried) == []
    node = request.getfixturevalue("node")
    (job,) = pool_jobs.jobs(host, 1, "grid", seconds=0, timeout=90)
    assert (job.exit_code, job.output.split()) == (0, [node.hostname, "nobody"])
    proved = ("-af", "AuthenticationMethod", "AuthenticatedIdentity")
    said = host.run("alice", "condor_status", "-startd", *proved).stdout.split()
    assert said[:2] == ["PASSWORD", "condor@password"]

    # What works stands on its own, and goes again when it is told to.
    host.run("root", "rm", GUIDE)
    restart_as_told(host)
    assert errors(carried) == []
    carried.invoke("pool.config", "--undo")
    there = host.run("root", "ls", FOLDER).stdout.split()
    assert not {Path(WORKS).name, Path(OWN).name} & set(there)


def errors(carried: Carried) -> list[str]:
    found = carried.told("pool.check", code=None)["findings"]
    return [f"{f['where']}: {f['what']}" for f in found if f["level"] == "error"]


def test_an_annex_joins_a_pool_with_the_guides_file_and_what_works(
    baked: Baked, tmp_path: Path
) -> None:
    assert baked.done.exit_code == 0, baked.done.stderr
    place = baked.place.copy(tmp_path / "place")
    with grounds(place, "25.14", "password", LAUNCH_IDLE=LONG) as found:
        reading = guide.Reading(Path(GUIDE), ("FS", "IDTOKENS"))
        works = guide.works(guide.judge(guide_file.TEXT, reading), Path(GUIDE))
        for path, text in ((GUIDE, guide_file.TEXT), (WORKS, works)):
            found.host.run("root", "sh", "-c", f"cat >{path}", stdin=text)
        restart(found.host)
        until_it_serves(found.host)
        (node,) = found.launch("grid")["nodes"]
        proved = (node["good"], node["method"], node["identity"])
        assert proved == (True, "PASSWORD", "condor@password")
        (job,) = pool_jobs.jobs(found.host, 1, "grid", seconds=0, timeout=90)
        assert (job.node, job.exit_code) == (node["id"], 0)
        # With its lease it reads its configuration again, and its ads tell another
        # method from then on (FS); the name is what counts.
        found.until_advertised("grid", node["id"])
        found.done("verify", "--annex-name", "grid")

"""What root on a node can do to the pool: tried, each thing with HTCondor's own tool.

``docs/pool.md`` tells these answers to people.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conftest import Baked
from tests.rehearsal.annexes import LONG, Grounds, grounds
from tests.rehearsal.test_launch_security import FILES, claims_of, secret_of

pytestmark = pytest.mark.machines

AD = """\
printf '%s\\n' 'MyType="{type}"' 'Name="{name}"' 'Machine="elsewhere"' \
'MyAddress="<127.0.0.1:1>"' 'ScheddIpAddr="<127.0.0.1:1>"' \
'StartdIpAddr="<127.0.0.1:1>"' 'NegotiatorIpAddr="<127.0.0.1:1>"' >/tmp/ad
condor_advertise -pool {{pool}} -tcp UPDATE_{command}_AD /tmp/ad"""


def advertise(kind: str, command: str) -> str:
    return AD.format(type=kind, name="made-up", command=command)


BOTH, PASSWORD, NOBODY = ("idtokens", "password"), ("password",), ()
# What is tried, and whose root may do it.
TRIED: dict[str, tuple[str, tuple[str, ...]]] = {
    "read": ("condor_status -pool {pool} -schedd", BOTH),
    "queue": ("condor_q -pool {pool} -name {cm} -all", BOTH),
    "slot": (advertise("Machine", "STARTD"), BOTH),
    "master": (advertise("DaemonMaster", "MASTER"), BOTH),
    "access point": (advertise("Scheduler", "SCHEDD"), PASSWORD),
    "user's demand": (advertise("Submitter", "SUBMITTOR"), PASSWORD),
    "negotiator": (advertise("Negotiator", "NEGOTIATOR"), PASSWORD),
    "reconfigure": ("condor_reconfig -pool {pool} -name {cm}", NOBODY),
    "stop a daemon": ("condor_off -pool {pool} -name {cm} -daemon schedd", NOBODY),
    "stop all": ("condor_off -pool {pool} -name {cm}", NOBODY),
    "restart": ("condor_restart -pool {pool} -name {cm}", NOBODY),
    "shutdown program": (
        "condor_set_shutdown -pool {pool} -name {cm} -exec reboot",
        NOBODY,
    ),
    "set": ("condor_config_val -pool {pool} -name {cm} -set 'X = 1'", NOBODY),
    "set until restart": (
        "condor_config_val -pool {pool} -name {cm} -rset 'X = 1'",
        NOBODY,
    ),
    "submit": (
        "printf 'executable=/bin/true\\nqueue\\n' >/tmp/job && "
        "condor_submit -pool {pool} -remote {cm} /tmp/job",
        NOBODY,
    ),
    "remove jobs": ("condor_rm -pool {pool} -name {cm} -all", PASSWORD),
    "hold jobs": ("condor_hold -pool {pool} -name {cm} -all", PASSWORD),
    "priorities": (
        "condor_userprio -pool {pool} -setprio alice@pool.test 1000",
        NOBODY,
    ),
    "make a token": ("condor_token_create -identity root@pool.test", NOBODY),
}


@dataclass(frozen=True)
class Root:
    """Root on a node of an annex."""

    found: Grounds
    node: str

    def may(self, command: str) -> bool:
        host = self.found.host
        line = command.format(pool=host.collector, cm=host.hostname)
        return self.found.on(self.node, "bash", "-c", line, check=False).exit_code == 0


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("25.14", "idtokens")),
        pytest.param(("23.9", "idtokens"), marks=pytest.mark.matrix),
        pytest.param(("25.14", "password"), marks=pytest.mark.matrix),
        pytest.param(("23.9", "password"), marks=pytest.mark.matrix),
    ],
    ids="-".join,
)
def root(
    request: pytest.FixtureRequest,
    baked: Baked,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Root]:
    place = baked.place.copy(tmp_path_factory.mktemp("rights") / "place")
    with grounds(place, *request.param) as found:
        found.launch("grid", 1, "--idle", LONG)
        (node,) = found.ids("grid")
        yield Root(found, node)


def test_root_on_a_node_may_do_this_and_nothing_else(root: Root) -> None:
    before = daemons(root.found)
    told = {what: root.may(command) for what, (command, _) in TRIED.items()}
    method = root.found.method
    assert told == {what: method in whose for what, (_, whose) in TRIED.items()}
    assert daemons(root.found) == before, "a daemon of the pool was touched"


def daemons(found: Grounds) -> list[str]:
    """Return the pool host's daemons with their process ids.

    Names as the kernel cuts them; the collector has children that come and go.
    """
    names = ("condor_master", "condor_negotiat", "condor_schedd")
    said = found.host.run("root", "sh", "-c", "grep -H . /proc/[0-9]*/comm").stdout
    here = [line for line in said.splitlines() if line.endswith(names)]
    assert len(here) == len(names), said
    return sorted(here)


def test_of_its_token_it_gets_no_longer_and_no_wider_one(root: Root) -> None:
    """HTCondor gives who asks another token: never for more than the one they have."""
    found = root.found
    if found.method != "idtokens":
        pytest.skip("it has no token")
    own = claims_of(secret_of(found, root.node))
    fetch = f"condor_token_fetch -pool {found.host.collector} -lifetime 99999999"
    where = ("-type COLLECTOR", f"-type SCHEDD -name {found.host.hostname}")
    given = 0
    for line in (f"{fetch} {one}" for one in where):
        for more in ("", " -authz ADMINISTRATOR", " -authz READ -authz WRITE"):
            done = found.on(root.node, "bash", "-c", line + more, check=False)
            if done.exit_code == 0:
                check_no_more(claims_of(done.stdout.strip()), own)
                given += 1
    assert given, "it gave none at all: nothing was tried"


def check_no_more(claims: dict[str, Any], own: dict[str, Any]) -> None:
    assert claims["sub"] == own["sub"]
    assert set(claims["scope"].split()) <= set(own["scope"].split())
    assert claims["exp"] <= own["exp"] + 1


def test_with_the_password_it_signs_no_token_that_the_pool_takes(root: Root) -> None:
    """The pool's signing key is another one, although HTCondor's default is this."""
    found = root.found
    if found.method != "password":
        pytest.skip("it has no password")
    key = "/etc/condor/passwords.d/POOL"
    found.on(root.node, "mkdir", "-p", "/etc/condor/passwords.d")
    found.on(root.node, "cp", FILES["password"], key)
    sign = (
        "export _condor_SEC_TOKEN_POOL_SIGNING_KEY_FILE=" + key + "; "
        "condor_token_create -identity root@pool.test"
    )
    token = found.on(root.node, "bash", "-c", sign).stdout.strip()
    assert claims_of(token)["sub"] == "root@pool.test"
    store = "mkdir -p /root/.condor/tokens.d && cat >/root/.condor/tokens.d/own"
    found.on(root.node, "sh", "-c", f"umask 077; {store}", stdin=token + "\n")
    only = "_condor_SEC_CLIENT_AUTHENTICATION_METHODS=IDTOKENS "
    try:
        assert not root.may(only + "condor_status -pool {pool}")
        assert not root.may(only + "condor_off -pool {pool} -name {cm}")
    finally:
        found.on(root.node, "rm", "-r", key, "/root/.condor/tokens.d/own")

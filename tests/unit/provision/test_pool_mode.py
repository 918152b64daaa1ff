"""Mode "pool": HTCondor's configuration, the secret, and what is refused."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.provision.conftest import Machine
from tests.unit.provision.metadata_stub import Behaviour
from tests.unit.provision.node import load
from tests.unit.provision.test_contract_annexkit import (
    CONFIG,
    INSTANCE,
    annex,
    is_ready,
    setting_up,
)

annex_file = load("annex_file")
aws_call = load("aws_call")
htcondor = load("htcondor_config")
pool_secret = load("pool_secret")

TOKEN = "eyJhbGciOi.eyJleHAiOjE3.Q0iUjrCq1"
NAME = "/annexkit/my-annex/0123456789ab"
NODE = "i-0123456789abcdef0"
POOL = {
    "collector": "cm.example.org:9618",
    "method": "idtokens",
    "trust_domain": "example.org",
    "uid_domain": "example.org",
    "ccb": True,
    "users": ["alice"],
    "update_seconds": 300,
}
SECRET = {"ssm": NAME, "region": "us-west-2"}


def pool_annex(secret: dict[str, Any] = SECRET, **changes: Any) -> str:
    return annex(mode="pool", pool=POOL | changes, secret=secret)


def parsed(**changes: Any) -> Any:
    return annex_file.checked(json.loads(pool_annex(**changes)))


def lines(public_ip: str = "", **changes: Any) -> list[str]:
    return str(htcondor.annex_config(parsed(**changes), public_ip)).splitlines()


@pytest.fixture
def node(machine: Machine, behaviour: Behaviour, metadata: object) -> Machine:
    """A node of a pool, whose secret cannot be had: it has no role."""
    behaviour.values |= INSTANCE
    machine.fake("systemctl")
    machine.write("/etc/annexkit/annex.json", pool_annex(), 0o600)
    return machine


def test_an_execute_node_of_the_pool_and_nothing_else() -> None:
    found = lines()
    assert "DAEMON_LIST = MASTER STARTD" in found
    assert "CONDOR_HOST = cm.example.org" in found
    assert "COLLECTOR_HOST = cm.example.org:9618" in found
    assert "TRUST_DOMAIN = example.org" in found
    assert "UID_DOMAIN = example.org" in found
    assert 'AnnexLaunch = "0123456789ab"' in found
    assert "UPDATE_INTERVAL = 300" in found


@pytest.mark.parametrize("what", ["AUTHENTICATION", "INTEGRITY", "ENCRYPTION"])
def test_every_connection_is_authenticated_whole_and_secret(what: str) -> None:
    assert f"SEC_DEFAULT_{what} = REQUIRED" in lines()


def test_only_root_of_the_node_administers_it() -> None:
    allowed = [line for line in lines() if line.startswith("ALLOW_ADMINISTRATOR")]
    assert allowed == ["ALLOW_ADMINISTRATOR = root@$(UID_DOMAIN) condor@$(UID_DOMAIN)"]
    assert "SEC_TOKEN_POOL_SIGNING_KEY_FILE =" in lines()


def test_jobs_run_as_nobody() -> None:
    assert "STARTER_ALLOW_RUNAS_OWNER = False" in lines()


def test_a_token_or_a_password_and_never_both() -> None:
    token, password = lines(), lines(method="password")
    assert "SEC_DEFAULT_AUTHENTICATION_METHODS = FS, IDTOKENS" in token
    assert not [line for line in token if line.startswith("SEC_PASSWORD_FILE")]
    assert "SEC_DEFAULT_AUTHENTICATION_METHODS = FS, PASSWORD" in password
    assert "SEC_PASSWORD_FILE = /etc/condor/condor_pool_password" in password
    allowed = "ALLOW_DAEMON = condor@$(UID_DOMAIN) condor_pool@* condor@password"
    assert allowed in password


def test_the_way_in_is_the_collector_or_the_public_address() -> None:
    assert "CCB_ADDRESS = $(COLLECTOR_HOST)" in lines("192.0.2.7")
    direct = lines("192.0.2.7", ccb=False)
    assert "TCP_FORWARDING_HOST = 192.0.2.7" in direct
    assert not [line for line in direct if line.startswith("CCB_ADDRESS")]
    private = lines("", ccb=False)
    assert not [line for line in private if line.startswith("TCP_FORWARDING_HOST")]


def test_whose_jobs_start_and_until_when() -> None:
    until = "AnnexLeased && (time() < AnnexDrainAt)"
    both = 'START = (stringListMember(Owner, "alice,bob")) && '
    assert both + until in lines(users=["alice", "bob"])
    assert f"START = (True) && {until}" in lines(users=["*"])


def test_jobs_stop_to_start_before_the_lease_ends_or_at_a_notice() -> None:
    quiet = htcondor.lease_config(2000, 600)
    assert "AnnexLeaseExpires = 2000\nAnnexDrainAt = 1400\n" in quiet
    assert "AnnexSpotNotice" not in quiet
    noticed = htcondor.lease_config(2000, 600, notice=1000)
    assert "AnnexDrainAt = 1000\n" in noticed
    assert "AnnexSpotNotice = 1000\n" in noticed
    assert "AnnexLeaseExpires AnnexDrainAt AnnexLeased AnnexSpotNotice" in noticed


def test_on_probation_no_job_starts() -> None:
    assert "AnnexLeased = False\n" in htcondor.lease_config(2000, 600, leased=False)
    assert "AnnexLeased = True\n" in htcondor.lease_config(2000, 600)


@pytest.mark.parametrize(
    ("more", "later", "expected"),
    [
        ({"probation": True}, 0, False),
        ({"probation": True}, 1, True),
        ({"probation": True}, -1, False),
        ({"probation": False}, 0, True),
        ({}, 0, True),
    ],
)
def test_a_node_is_leased_when_its_lease_was_prolonged(
    more: dict[str, Any], later: int, expected: bool
) -> None:
    read = annex_file.checked(json.loads(pool_annex()) | more)
    assert annex_file.leased(read, read.lease_expires + later) is expected


BAD = [
    (pool_annex(method="ssl"), "'method' is 'ssl', not idtokens or password"),
    (pool_annex(collector='cm"'), "'collector' does not match"),
    (pool_annex(collector="cm:port"), "'collector' does not match"),
    (pool_annex(users=[]), "'users' is no list of names"),
    (pool_annex(users="alice"), "'users' is no list of names"),
    (pool_annex(users=['a"b']), "a name in 'users' does not match"),
    (pool_annex(ccb="yes"), "'ccb' is neither true nor false"),
    (pool_annex(update_seconds=0), "'update_seconds' is no whole number"),
    (pool_annex(trust_domain="a b"), "'trust_domain' does not match"),
    (pool_annex(colour="blue"), "pool: this image does not know 'colour'"),
    (pool_annex({"ssm": "/other/x", "region": "r"}), "'ssm' does not match"),
    (pool_annex({"s3": "x"}), "secret: this image does not know 's3'"),
    (annex(mode="pool"), "mode 'pool' needs 'pool'"),
    (annex(mode="pool", pool=POOL), "mode 'pool' needs 'secret'"),
    (annex(lifetime=3), "this image does not know 'lifetime'"),
    (annex(probation="yes"), "'probation' is neither true nor false"),
    (annex(lease_poll_seconds=0), "'lease_poll_seconds' is no whole number"),
]


@pytest.mark.parametrize(("text", "said"), BAD, ids=[said for _, said in BAD])
def test_a_pool_that_is_not_usable_is_refused_but_the_lease_is_armed(
    node: Machine, text: str, said: str
) -> None:
    node.write("/etc/annexkit/annex.json", text)
    code, answer = setting_up(node)
    assert code == 1
    assert said in answer
    assert node.read("/run/annexkit/failed").startswith("annex-file ")
    assert not is_ready(node)
    assert node.calls == ["systemctl restart annexkit-lease.timer"]


def test_without_the_secret_htcondor_stays_stopped_and_the_reason_is_there(
    node: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = load("contract_annexkit")
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(contract, "tell", lambda *said: told.append(said))

    def no_role(annex: object, tell: Any) -> bytes:
        error = aws_call.AwsError("no-role", "the instance has no IAM role")
        tell(error)
        raise error

    monkeypatch.setattr(pool_secret, "fetch", no_role)
    with pytest.raises(contract.ContractError, match="no IAM role") as failed:
        contract.fetch_secret(parsed(), NAME, NODE)
    assert failed.value.kind == "no-role"
    assert told == [("no-role", "the instance has no IAM role")]


@pytest.fixture
def rebooted(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, float], int]:
    """Fetch a secret, then boot again as a node; return how often SSM was asked."""

    def run(node: str, expires: float) -> int:
        contract = load("contract_annexkit")
        root, asked = str(machine.root), list[str]()
        claims = urlsafe_b64encode(json.dumps({"exp": expires}).encode()).decode()
        token = f"eyJh.{claims.rstrip('=')}.Q0iU"
        monkeypatch.setattr(contract, "ROOT", root)
        path = Path(f"{root}{contract.SECRET_OF}")
        monkeypatch.setattr(contract, "SECRET_OF", path)

        def get(name: str, *_: object, **__: object) -> str:
            asked.append(name)
            return token

        monkeypatch.setattr(pool_secret, "get_parameter", get)
        contract.fetch_secret(parsed(), NAME, NODE)
        contract.fetch_secret(parsed(), NAME, node)
        return len(asked)

    return run


def test_after_a_reboot_the_secret_that_is_there_is_kept(
    rebooted: Callable[[str, float], int],
) -> None:
    assert rebooted(NODE, time.time() + 900) == 1


def test_another_nodes_secret_and_an_expired_one_are_fetched_anew(
    rebooted: Callable[[str, float], int],
) -> None:
    assert rebooted("i-of-an-image-made-of-it", time.time() + 900) == 2
    assert rebooted(NODE, time.time() - 1) == 2


# The scrambled password is what HTCondor 23.9.6's condor_store_cred wrote.
STORED = {
    "idtokens": (TOKEN, "tokens.d/annex", f"{TOKEN}\n".encode()),
    "password": ("sesame", "condor_pool_password", b"\xad\xc8\xcd\x8e\xb3\xc8"),
}


@pytest.mark.parametrize("method", STORED)
def test_the_secret_is_roots_alone(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    value, path, content = STORED[method]
    monkeypatch.setattr(pool_secret, "get_parameter", lambda *_, **__: f"{value}\n")
    annex = parsed(method=method)
    assert pool_secret.store(str(machine.root), annex, pool_secret.fetch(annex))
    file = machine.root / "etc/condor" / path
    assert file.read_bytes() == content
    assert file.stat().st_mode & 0o777 == 0o600
    assert not pool_secret.store(str(machine.root), annex, content)
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def test_the_folder_of_tokens_is_closed(machine: Machine) -> None:
    pool_secret.store(str(machine.root), parsed(), b"x")
    folder = machine.root / "etc/condor/tokens.d"
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_is_no_token_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_secret, "get_parameter", lambda *_, **__: "hush hush")
    with pytest.raises(aws_call.AwsError, match="is no token") as failed:
        pool_secret.fetch(parsed())
    assert "hush" not in str(failed.value)


def test_a_node_that_was_down_while_its_lease_grew_comes_back(
    node: Machine, behaviour: Behaviour
) -> None:
    behaviour.values["meta-data/tags/instance/annexkit:expires"] = str(
        int(time.time()) + 900
    ).encode()
    node.write(
        "/etc/annexkit/annex.json", annex(lease_expires=int(time.time()) - 5), 0o600
    )
    assert setting_up(node)[0] == 0
    assert is_ready(node)
    assert "AnnexLeaseExpires" in node.read(f"{CONFIG}/51-annex-lease.config")

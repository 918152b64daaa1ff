"""What can be wrong with an annex's secret, with the annex, or with its pool."""

from __future__ import annotations

import io
import os
import socket
import sys

from annexkit.journal import Entry, Journal, Process
from annexkit.pool import host as pool_host
from annexkit.process import Completed
from tests.faults.launch_scene import GRID, LAUNCH, TYPE, LaunchScene
from tests.faults.situation import Situations
from tests.unit import conftest
from tests.unit.helpers import ACCOUNT, REGION

ALL = Situations(typed=("launch",))


def nothing(_: LaunchScene) -> None:
    """What is typed is bad enough."""


# The secret: what the command prints, as far as a launch goes without one.
@ALL.when("'condor_token_create' is not here: a token is made on the", code=1)
def no_token_command(scene: LaunchScene) -> None:
    scene.setting("POOL_TOKEN_COMMAND", "")
    scene.set("PATH", str(scene.root))


@ALL.when("no token was made: the moon is wrong", code=1)
def failing_token_command(scene: LaunchScene) -> None:
    scene.prints("", 3, "the moon is wrong")


@ALL.when("the pool's signing key cannot be read: no such key", code=1)
def no_signing_key(scene: LaunchScene) -> None:
    scene.prints("", 1, "no such key")


@ALL.when("the command printed no token", code=1)
def rubbish(scene: LaunchScene) -> None:
    scene.prints("here.you.are\n")


def token(name: str, says: str, **changed: object) -> None:
    """The command prints a token that is not what was asked for."""
    ALL.add(name, says, lambda scene: scene.token(**changed), code=1)


WIDE = "condor:/READ condor:/ADMINISTRATOR"
token("token-of-another", "the token is for 'root@x', not for", sub="root@x")
token("token-too-wide", "allows more than it should: condor:/ADMIN", scope=WIDE)
token("token-too-narrow", "does not allow condor:/ADVERTISE_MASTER condor:/ADV",
      scope="condor:/READ")  # fmt: skip
token("token-without-limits", "the token has no limits", scope="")
token("token-without-end", "the token never expires", exp="")
token("token-too-short", "the token lives 60 s, the annex needs", exp=60)
token("token-too-long", "the token lives 90000 s, 10800 s were asked", exp=90_000)


def command(value: str, says: str) -> None:
    """The setting holds no command."""
    deed = lambda scene: scene.setting("POOL_TOKEN_COMMAND", value)  # noqa: E731
    ALL.add(f"token_command={value}", says, deed, "launch", "--dry-run")


command("mint 'x", "the command cannot be read: No closing quotation")
command("mint {ttl}", "'{ttl}' cannot be filled in")
command(" ", "token_command: the command is empty")


def password(
    scene: LaunchScene, text: str = "a-long-password", mode: int = 0o600
) -> None:
    scene.setting("POOL_METHOD", "password")
    path = scene.write("pool_password", text, mode)
    scene.setting("POOL_PASSWORD_FILE", str(path))


@ALL.when(": there is no pool password", "launch", "--dry-run")
def no_password(scene: LaunchScene) -> None:
    password(scene)
    (scene.root / "pool_password").unlink()


@ALL.when("others can reach the pool password", "launch", "--dry-run")
def password_for_everybody(scene: LaunchScene) -> None:
    password(scene, mode=0o644)


@ALL.when("holds no pool password that annexkit can read", "launch", "--dry-run")
def empty_password(scene: LaunchScene) -> None:
    password(scene, "")


@ALL.when("cannot be read: Is a directory", "launch", "--dry-run")
def folder_for_a_password(scene: LaunchScene) -> None:
    password(scene)
    scene.setting("POOL_PASSWORD_FILE", str(scene.root))


# verify and why
ALL.add("verify-unknown", "annex 'nix' has no nodes", nothing, "verify",
        "--annex-name", "nix", code=1)  # fmt: skip
ALL.add("verify-name", "'../nix' is no annex's name", nothing, "verify",
        "--annex-name", "../nix")  # fmt: skip
ALL.add("verify-region", "unknown region 'us-wst-2'", nothing, "verify",
        "--region", "us-wst-2")  # fmt: skip


@ALL.when("others may read this SSH private key: its mode is 0640", "verify", *GRID)
def key_of_the_annex_for_a_group(scene: LaunchScene) -> None:
    scene.nodes()
    scene.write("state/annexes/grid/id_ed25519", "x", 0o640)


@ALL.when("annexes/grid/record.json: the record of this annex", "verify", *GRID, code=1)
def record_of_a_newer_annexkit(scene: LaunchScene) -> None:
    scene.nodes()
    scene.write("state/annexes/grid/record.json", '{"schema_version": 2}')


ALL.add("why-bad", "'grid' is no instance id", nothing, "why", "grid")
ALL.add("why-region", "unknown region 'mars-1'", nothing, "why",
        "i-0123456789abcdef0", "--region", "mars-1")  # fmt: skip
ALL.add("why-gone", "EC2 knows no i-0123456789abcdef0 in us-west-2", nothing, "why",
        "i-0123456789abcdef0", code=1)  # fmt: skip


# status, extend, receipt, terminate
ALL.add("status-name", "'gr*' is no annex's name", nothing, "status",
        "--annex-name", "gr*")  # fmt: skip
ALL.add("status-region", "--region: the flag was given without", nothing, "status",
        "--region", "")  # fmt: skip


def extend(name: str, says: str, *typed: str) -> None:
    """An annex is to end at a time at which it cannot."""
    ALL.add(f"extend-{name}", says, LaunchScene.nodes, "extend", *GRID, *typed)


extend("neither", "say either for how long from now, or until when")
extend("no-time", "'soon' is not a duration", "--lease", "soon")
extend("no-zone", "'18:00' is no time with a zone", "--until", "18:00")
extend("too-soon", "--lease: the lease would end in 10 s", "--lease", "10s")
extend("long-over", "--until: the lease would end in 0 s", "--until",
       "2001-01-01T00:00Z")  # fmt: skip
ALL.add("extend-unknown", "there is no annex 'nix' in us-west-2", nothing, "extend",
        "--annex-name", "nix", "--lease", "3h")  # fmt: skip


@ALL.when("annex grid costs $0.20 an hour, the ceiling is $0.15", "extend", *GRID,
          "--lease", "3h")  # fmt: skip
def too_dear_to_extend(scene: LaunchScene) -> None:
    scene.nodes(2)
    scene.setting("LAUNCH_MAX_HOURLY_COST", "0.15")


@ALL.when(f"the price of {TYPE} is not known, and there is a ceiling", "extend", *GRID,
          "--lease", "3h")  # fmt: skip
def no_price_to_extend(scene: LaunchScene) -> None:
    scene.nodes()
    scene.setting("LAUNCH_HOURLY_PRICE", "")
    scene.setting("LAUNCH_MAX_HOURLY_COST", "0.15")


@ALL.when("no token was made: it rained", "extend", *GRID, "--lease", "3h", code=1)
def no_token_to_extend(scene: LaunchScene) -> None:
    scene.nodes()
    scene.record()
    scene.prints("", 3, "it rained")


def at_work(scene: LaunchScene) -> None:
    """Leave the journal of another process that launches annex grid."""
    other = Process.of(os.getppid())
    Journal(scene.root / "state" / "journal").write(
        Entry(
            id=f"launch-{LAUNCH}",
            kind="launch",
            account=ACCOUNT,
            endpoint="aws",
            region=REGION,
            image="debian13",
            build="",
            owner=other,
            created=1_700_000_000.0,
            deadline=2_000_000_000.0,
            launch=LAUNCH,
            annex="grid",
            tags={},
        )
    )


ALL.add("terminate-at-work", "another annexkit is at work on this annex", at_work,
        "terminate", *GRID, "--yes")  # fmt: skip
ALL.add("terminate-nobody", "an annex would be ended, and nobody is here to ask",
        LaunchScene.nodes, "terminate", *GRID)  # fmt: skip
ALL.add("terminate-name", "'*' is no annex's name", LaunchScene.nodes, "terminate",
        "--annex-name", "*", "--yes")  # fmt: skip
ALL.add("terminate-no-name", "--annex-name: '' is no annex's name",
        LaunchScene.nodes, "terminate", "--annex-name", "", "--yes")  # fmt: skip
ALL.add("receipt-unknown", "nothing is known here of an annex 'nix'", nothing,
        "receipt", "--annex-name", "nix", code=1)  # fmt: skip


# teardown
ALL.add("teardown-in-use", "annex grid has 1 nodes", LaunchScene.nodes, "teardown",
        "--yes")  # fmt: skip
ALL.add("teardown-at-work", "annex grid is being launched", at_work, "teardown",
        "--yes")  # fmt: skip
ALL.add("teardown-region", "unknown region 'us-est-1'", nothing, "teardown",
        "--region", "us-est-1")  # fmt: skip


@ALL.when("1 things would be removed, and nobody is here to ask", "teardown")
def nobody_to_ask(scene: LaunchScene) -> None:
    scene.ask("create_schedule_group", "scheduler", Name="annexkit")


# The pool's own hosts
def condor(scene: LaunchScene, **values: str) -> None:
    """Have an HTCondor here whose configuration says this."""

    def run(*argv: str, **_: object) -> Completed:
        if argv[0] == "condor_version":
            return Completed(argv, 0, "$CondorVersion: 25.14.1 2026-01-01 $", "")
        said = values.get(argv[-1])
        if said is None:
            return Completed(argv, 1, "", f"Not defined: {argv[-1]}")
        return Completed(argv, 2 if said == "?" else 0, said, "")

    scene.patch.setattr(pool_host, "run", run)


ALL.add("config-old", "HTCondor 8.8.1 is too old", nothing, "pool.config",
        "--htcondor", "8.8.1")  # fmt: skip
ALL.add("config-version", "'new' is no version of HTCondor", nothing, "pool.config",
        "--htcondor", "new")  # fmt: skip


@ALL.when("there is no HTCondor on this host", "pool.config")
def no_condor_here(scene: LaunchScene) -> None:
    scene.set("PATH", str(scene.root))


@ALL.when("this host is neither a central manager nor", "pool.config", "--write")
def execute_node(scene: LaunchScene) -> None:
    condor(scene, DAEMON_LIST="MASTER STARTD")


@ALL.when("this host has TRUST_DOMAIN = here.org, the settings say", "pool.config")
def pool_of_another_domain(scene: LaunchScene) -> None:
    condor(scene, DAEMON_LIST="MASTER COLLECTOR", TRUST_DOMAIN="here.org")


@ALL.when("the configuration cannot be read: ?", "pool.config", code=1)
def broken_configuration(scene: LaunchScene) -> None:
    condor(scene, DAEMON_LIST="?")


@ALL.when("the collector: nothing listens at port", "pool.check", code=1)
def collector_that_is_down(scene: LaunchScene) -> None:
    scene.token(exp=60)
    # The name of this machine may stand for another address of it than loopback.
    own = {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), None)}
    scene.patch.setattr(conftest, "LOCAL_NAMES", {*conftest.LOCAL_NAMES, *own})


def typed(scene: LaunchScene, password: bytes) -> None:
    """Pipe this into pool.secret."""
    scene.patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(password)))
    path = str(scene.root / "pool_password")
    scene.setting("POOL_PASSWORD_FILE", path)


def secret(name: str, says: str, password: bytes) -> None:
    """What is piped into pool.secret is no pool password."""
    ALL.add(f"secret-{name}", says, lambda scene: typed(scene, password), "pool.secret")


secret("empty", "the password is empty", b"")
secret("short", "the password is shorter than 12 characters", b"secret\n")
secret("long", "the password is longer than 255 characters", b"x" * 300)
secret("lines", "the password has more than one line", b"a-long-pass\nword\n")
secret("bytes", "the password holds characters that are no plain", b"\xff" * 20)


@ALL.when("only root may store the pool password", "pool.secret")
def secret_of_a_user(scene: LaunchScene) -> None:
    typed(scene, b"a-long-password\n")
    scene.patch.setattr(os, "geteuid", lambda: 1000)


@ALL.when("there is another password, by which nodes are known", "pool.secret", code=1)
def another_password(scene: LaunchScene) -> None:
    typed(scene, b"a-long-password\n")
    scene.write("pool_password", "something else", 0o600)

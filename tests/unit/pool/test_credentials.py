from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from annexkit.errors import UsageError
from annexkit.pool import credentials, password
from annexkit.pool.credentials import check_token, new_secret, token_command
from annexkit.pool.target import Pool, PoolError
from annexkit.process import CommandError, Completed

ME = "annex@example.org"
SCOPE = "condor:/READ condor:/ADVERTISE_MASTER condor:/ADVERTISE_STARTD"
POOL = Pool("cm.example.org", trust_domain="example.org", identity=ME)


def token(**changes: Any) -> str:
    claims = {"sub": ME, "iat": 1000, "exp": 4600, "scope": SCOPE} | changes
    claims = {k: v for k, v in claims.items() if v is not None}
    parts = [{"alg": "HS256"}, claims]
    coded = [base64.urlsafe_b64encode(json.dumps(p).encode()) for p in parts]
    return ".".join(c.decode().rstrip("=") for c in coded) + ".c2lnbmF0dXJl"


def pool(command: str = "", **changes: Any) -> Pool:
    return Pool(
        "cm.example.org",
        trust_domain="example.org",
        identity=ME,
        token_command=command,
        **changes,
    )


def answers(monkeypatch: pytest.MonkeyPatch, answer: str | CommandError) -> None:
    def run(*args: str, **options: Any) -> Completed:
        if isinstance(answer, CommandError):
            raise answer
        return Completed(args, 0, answer, "")

    monkeypatch.setattr(credentials, "run", run)


def test_the_default_command_asks_for_three_scopes_and_no_more() -> None:
    assert token_command(POOL, 7200.9) == [
        *("condor_token_create", "-identity", ME, "-lifetime", "7200"),
        *("-authz", "READ", "-authz", "ADVERTISE_MASTER", "-authz", "ADVERTISE_STARTD"),
    ]


@pytest.mark.parametrize("command", ["mint 'x", "mint {ttl}", " "])
def test_settings_that_no_token_can_come_from_are_refused_without_one(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, CommandError(Completed(("mint",), 1, "", "was asked")))
    credentials.check_settings(pool("mint {identity} {lifetime} {authz}"))
    with pytest.raises(UsageError):
        credentials.check_settings(pool(command))


def test_a_password_that_is_not_there_is_refused_without_a_launch(
    tmp_path: Path,
) -> None:
    path = tmp_path / "password"
    shared = pool(method="password", password_file=str(path))
    with pytest.raises(UsageError, match="there is no pool password"):
        credentials.check_settings(shared)
    path.write_text("a-long-password")
    path.chmod(0o600)
    credentials.check_settings(shared)


def test_a_value_never_becomes_a_word_of_its_own() -> None:
    odd = Pool(
        "cm", identity="a b; rm -rf {authz}", token_command="mint 'as {identity}'"
    )
    assert token_command(odd, 1) == ["mint", "as a b; rm -rf {authz}"]


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("mint 'x", "cannot be read"),
        ("mint {secret}", "'{secret}' cannot be filled in"),
        ("mint x{authz}", "'{authz}' cannot be filled in"),
        ("   ", "empty"),
    ],
)
def test_a_command_that_cannot_be_used_is_refused(command: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        token_command(pool(command), 1)


def test_a_token_comes_with_its_end_and_does_not_show(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = token()
    answers(monkeypatch, f"a warning\n{text}\n")
    secret = new_secret(POOL, 3600)
    assert (secret.text, secret.expires, secret.identity) == (text, 4600.0, ME)
    assert text not in f"{secret} {secret!r}"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sub": "condor@example.org"}, "not for 'annex@example.org'"),
        ({"scope": None}, "no limits"),
        ({"scope": f"{SCOPE} condor:/ADMINISTRATOR"}, "more than it should"),
        ({"scope": "condor:/READ"}, "does not allow condor:/ADVERTISE_MASTER"),
        ({"exp": None}, "never expires"),
        ({"exp": "soon"}, "never expires"),
        ({"exp": 4000}, "lives 3000 s, the annex needs 3600 s"),
        ({"exp": 10_000}, "lives 9000 s, 3600 s were asked"),
    ],
)
def test_a_token_that_is_not_what_was_asked_for_is_refused(
    changes: dict[str, Any], says: str
) -> None:
    text = token(**changes)
    with pytest.raises(PoolError, match=says) as error:
        check_token(text, ME, 3600)
    assert text not in str(error.value)
    assert error.value.mend


@pytest.mark.parametrize(
    "printed", ["", "no token", "a.b.c", "a.WzFd.c", f"{token()}\n{token()}"]
)
def test_what_is_not_one_token_is_refused(printed: str) -> None:
    with pytest.raises(PoolError, match="printed no token"):
        check_token(printed, ME, 3600)


@pytest.mark.parametrize(
    ("code", "stderr", "says", "mend"),
    [
        (127, "", "is not here", "ssh root@"),
        (
            2,
            "Failed to generate a token.\nTOKEN:1:Failed to read file /x securely.",
            "signing key cannot be read",
            "start the collector once",
        ),
        (255, "ssh: no route", "no token was made: ssh: no route", "type the command"),
    ],
)
def test_why_no_token_came_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, code: int, stderr: str, says: str, mend: str
) -> None:
    done = Completed(("condor_token_create",), code, token(), stderr)
    answers(monkeypatch, CommandError(done))
    with pytest.raises(PoolError, match=says) as error:
        new_secret(POOL, 3600)
    assert mend in error.value.mend
    assert token() not in str(error.value)
    assert error.value.__suppress_context__  # what it printed may be a token


def test_the_pool_password_is_read_and_does_not_show(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_bytes(password.scrambled("correct horse battery"))
    path.chmod(0o600)
    secret = new_secret(pool(method="password", password_file=str(path)), 1)
    assert (secret.text, secret.expires) == ("correct horse battery", None)
    assert (secret.method, secret.identity) == ("password", "condor@password")
    assert "horse" not in f"{secret} {secret!r}"

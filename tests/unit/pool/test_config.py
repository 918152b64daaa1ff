from __future__ import annotations

import pytest

from annexkit.errors import UsageError
from annexkit.pool.config import PATH, Role, remaining, render
from annexkit.pool.target import Method, Pool

CM: tuple[Role, ...] = ("cm",)
AP: tuple[Role, ...] = ("ap",)


def pool(method: Method) -> Pool:
    return Pool(
        "cm.example.org",
        method=method,
        trust_domain="example.org",
        uid_domain="users.org",
        identity="annex@example.org",
        password_file="/etc/condor/pool_password",
    )


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if not line.startswith("#")]


def test_a_token_gives_annexes_two_rights_on_the_central_manager() -> None:
    text = render("25.14.1", (*CM, *AP), pool("idtokens"))[PATH]
    named = [line for line in lines(text) if "annex@example.org" in line]
    assert {line.partition(" = ")[0] for line in named} == {
        "ALLOW_ADVERTISE_STARTD",
        "ALLOW_ADVERTISE_MASTER",
    }
    # What was allowed before stays so, whether by that list or by DAEMON's.
    assert all("$(ALLOW_" in line for line in named)
    assert len(named) == 4
    assert "ALLOW_ADMINISTRATOR" not in text
    assert "SEC_PASSWORD_FILE" not in text


def test_an_access_point_needs_nothing_for_tokens() -> None:
    assert render("23.9.6", AP, pool("idtokens")) == {}


@pytest.mark.parametrize("roles", [CM, AP])
def test_with_the_password_both_hosts_get_the_same_but_its_heading(
    roles: tuple[Role, ...],
) -> None:
    text = render("23.9.6", roles, pool("password"))[PATH]
    said = dict(line.split(" = ", 1) for line in lines(text) if " = " in line)
    assert said["SEC_PASSWORD_FILE"] == "/etc/condor/pool_password"
    assert said["SEC_TOKEN_POOL_SIGNING_KEY_FILE"] != said["SEC_PASSWORD_FILE"]
    assert said["SEC_DEFAULT_AUTHENTICATION_METHODS"] == "FS, IDTOKENS, PASSWORD"
    assert said["ALLOW_DAEMON"].split() == [
        *("$(ALLOW_DAEMON)", "condor@password", "condor_pool@users.org")
    ]
    administrators = set(said["ALLOW_ADMINISTRATOR"].split())
    assert not administrators & {
        *("*", "condor@*", "condor_pool@*", "condor@password", "root@*"),
        "$(ALLOW_ADMINISTRATOR)",
    }


def test_no_method_of_the_pool_is_taken_away() -> None:
    text = render("25.14.1", CM, pool("password"), methods=("FS", "SSL"))[PATH]
    assert "SEC_DEFAULT_AUTHENTICATION_METHODS = FS, SSL, PASSWORD" in text


def test_the_callers_intervals_are_added_as_they_are() -> None:
    files = render("25.14.1", AP, pool("idtokens"), fast={"SCHEDD_INTERVAL": "5"})
    assert lines(files[PATH])[-1] == "SCHEDD_INTERVAL = 5"


@pytest.mark.parametrize(
    ("version", "says"),
    [("8.8.5", "too old"), ("25", "no version"), ("", "no version")],
)
def test_a_version_that_cannot_serve_is_refused(version: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        render(version, CM, pool("idtokens"))


def test_what_remains_is_said_of_both_methods() -> None:
    assert "never expires" in remaining(pool("password"))
    assert "until it expires" in remaining(pool("idtokens"))

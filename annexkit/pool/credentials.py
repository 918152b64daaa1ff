"""The secret with which the nodes of one launch prove who they are to the pool."""

from __future__ import annotations

import base64
import binascii
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from annexkit.errors import UsageError
from annexkit.pool import password
from annexkit.pool.target import Pool, PoolError
from annexkit.process import CommandError, run

COMMAND = "condor_token_create -identity {identity} -lifetime {lifetime} {authz}"
SCOPES = ("READ", "ADVERTISE_MASTER", "ADVERTISE_STARTD")
PLACE = re.compile(r"\{(\w*)\}")
WHERE = "annexkit.pool.token_command"
SLACK = 5  # seconds that a token may be shorter than asked
TIMEOUT = 60.0


@dataclass(frozen=True)
class Secret:
    """A token or the pool password; ``text`` never shows in a repr.

    ``expires``: epoch seconds, None for a password. ``method``: idtokens or password.
    """

    text: str = field(repr=False)
    method: str
    identity: str
    expires: float | None = None

    def __str__(self) -> str:
        """Say what it is, not what it holds."""
        return f"<secret of {self.identity} ({self.method})>"


def new_secret(pool: Pool, lifetime: float) -> Secret:
    """Mint a token that lives *lifetime* seconds, or read the pool password.

    :raises PoolError: no token came, or one that allows more than an annex may.
    :raises UsageError: the settings name no usable command or password file.
    """
    if pool.method == "password":
        text = password.read_file(Path(pool.password_file).expanduser())
        return Secret(text, "password", "condor@password")
    command = token_command(pool, lifetime)
    try:
        printed = run(*command, timeout=TIMEOUT).stdout
    except CommandError as error:
        raise _not_minted(error) from None
    return check_token(printed, pool.identity, lifetime)


def check_settings(pool: Pool) -> None:
    """Refuse settings that no secret can come from; makes none.

    :raises UsageError: naming no usable command or password file.
    """
    if pool.method == "password":
        password.read_file(Path(pool.password_file).expanduser())
    else:
        token_command(pool, 0)


def token_command(pool: Pool, lifetime: float) -> list[str]:
    """Return the command that prints a new token, word by word.

    The setting is split first and filled afterwards: no value becomes a word of its
    own, but ``{authz}``, which stands for several.

    :raises UsageError: the setting cannot be split, or names an unknown place.
    """
    try:
        words = shlex.split(pool.token_command or COMMAND)
    except ValueError as error:
        raise UsageError(
            f"the command cannot be read: {error}", where=WHERE, mend="close its quotes"
        ) from None
    values = {"identity": pool.identity, "lifetime": str(int(lifetime))}
    authz = [part for scope in SCOPES for part in ("-authz", scope)]
    filled: list[str] = []
    for word in words:
        filled += authz if word == "{authz}" else [_filled(word, values)]
    if not filled:
        raise UsageError("the command is empty", where=WHERE, mend=f"use: {COMMAND}")
    return filled


def _filled(word: str, values: Mapping[str, str]) -> str:
    for name in PLACE.findall(word):
        if name not in values:
            known = "{identity}, {lifetime}, and {authz} as a word of its own"
            raise UsageError(
                f"'{{{name}}}' cannot be filled in", where=WHERE, mend=f"known: {known}"
            )
    return PLACE.sub(lambda match: values[match[1]], word)


def check_token(printed: str, identity: str, lifetime: float) -> Secret:
    """Return the one token in *printed*, if it is what was asked for and no more.

    Only its payload is read; whether the signature holds, the collector will say. See
    RFC 7519 for the claims; ``scope`` is HTCondor's own.

    :raises PoolError: it is no token, another's, too short-lived, or allows too much.
    """
    tokens = [line.strip() for line in printed.splitlines() if line.count(".") == 2]
    claims = _claims(tokens[0]) if len(tokens) == 1 else None
    if claims is None:
        raise _refused("the command printed no token", "type it by hand to see why")
    if claims.get("sub") != identity:
        raise _refused(
            f"the token is for {claims.get('sub')!r}, not for {identity!r}",
            "let the command use {identity}, or correct pool.identity and "
            "pool.trust_domain",
        )
    _check_scopes(str(claims.get("scope", "")).split())
    return Secret(tokens[0], "idtokens", identity, _expiry(claims, lifetime))


def _check_scopes(given: list[str]) -> None:
    wanted = {f"condor:/{scope}" for scope in SCOPES}
    mend = "let the command use {authz}: " + " ".join(f"-authz {s}" for s in SCOPES)
    if not given:
        raise _refused("the token has no limits: it allows all its name does", mend)
    if more := sorted(set(given) - wanted):
        raise _refused(f"the token allows more than it should: {' '.join(more)}", mend)
    if missing := sorted(wanted - set(given)):
        raise _refused(f"the token does not allow {' '.join(missing)}", mend)


def _expiry(claims: Mapping[str, Any], lifetime: float) -> float:
    mend = "let the command use -lifetime {lifetime}"
    try:
        begins, ends = float(claims["iat"]), float(claims["exp"])
    except (KeyError, TypeError, ValueError):
        raise _refused("the token never expires", mend) from None
    if ends - begins < lifetime - SLACK:
        raise _refused(
            f"the token lives {ends - begins:.0f} s, the annex needs {lifetime:.0f} s",
            f"{mend}; or the pool's SEC_ISSUED_TOKEN_EXPIRATION is shorter",
        )
    if ends - begins > lifetime + 60:
        raise _refused(
            f"the token lives {ends - begins:.0f} s, {lifetime:.0f} s were asked", mend
        )
    return ends


def _claims(token: str) -> dict[str, Any] | None:
    body = token.split(".")[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (ValueError, binascii.Error):
        return None
    return claims if isinstance(claims, dict) else None


def _refused(what: str, mend: str) -> PoolError:
    return PoolError(what, where=WHERE, mend=mend)


def _not_minted(error: CommandError) -> PoolError:
    """Say why no token came; what was on standard output could be one, so not that."""
    done = error.done
    program = done.args[0]
    said = done.stderr.strip()[-500:]
    if done.exit_code == 127 and not said:
        what = f"'{program}' is not here: a token is made on the central manager"
        mend = (
            f"run annexkit there, or set {WHERE} to a command that asks it, such as: "
            f"ssh root@CENTRAL_MANAGER {COMMAND}"
        )
    elif "securely" in said or "key" in said.lower():
        what = f"the pool's signing key cannot be read: {' '.join(said.split())}"
        mend = (
            "run as root on the central manager; if the key is not there, start the "
            "collector once (systemctl start condor): it makes it"
        )
    else:
        what = f"no token was made: {said or error.what}"
        mend = "type the command by hand: " + shlex.join(done.args)
    return PoolError(what, where=WHERE, mend=mend)

"""Which pool annexes join, and as whom."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from annexkit.errors import AnnexkitError, Finding, Level, raise_on_errors
from annexkit.sections import PoolSettings

PORT = 9618  # HTCondor's own default
EXPORT = "export INVOKE_ANNEXKIT_POOL"
ADDRESS = re.compile(
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>\d{1,5}))?"
)
DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
# HTCondor's own list of administrators (ALLOW_ADMINISTRATOR) holds these by default.
POWERFUL = ("condor", "condor_pool", "root", "administrator")
METHODS = {"idtokens": "IDTOKENS", "password": "PASSWORD"}

Method = Literal["idtokens", "password"]


class PoolError(AnnexkitError):
    """The pool did not answer, refused us, or is not what the settings say."""


@dataclass(frozen=True)
class Pool:
    """One pool: where its collector is, and how annexes prove who they are.

    ``token_grace`` and ``update_interval`` are seconds. ``identity`` is whole
    (``annex@example.org``).
    """

    host: str
    port: int = PORT
    method: Method = "idtokens"
    trust_domain: str = ""
    uid_domain: str = ""
    identity: str = ""
    ccb: bool = True
    update_interval: int = 300
    token_grace: float = 3600
    token_command: str = ""
    password_file: str = ""

    @property
    def collector(self) -> str:
        """``host:port``, as COLLECTOR_HOST wants it."""
        return f"{self.host}:{self.port}"

    @classmethod
    def of(cls, settings: PoolSettings) -> Pool:
        """Read the settings; both domains are the collector's host name when unset.

        :raises FindingsError: naming all that :func:`findings` calls an error.
        """
        raise_on_errors(findings(settings))
        host, port = _address(settings.collector) or ("", PORT)
        trust = settings.trust_domain or host
        return cls(
            host=host,
            port=port,
            method=settings.method,
            trust_domain=trust,
            uid_domain=settings.uid_domain or host,
            identity=f"{settings.identity}@{trust}",
            ccb=settings.ccb,
            update_interval=round(settings.update_interval),
            token_grace=settings.token_grace,
            token_command=settings.token_command,
            password_file=settings.password_file,
        )


def findings(settings: PoolSettings) -> list[Finding]:
    """Return what is wrong with the pool's settings; nobody is asked, no file read."""
    found = _of_collector(settings.collector)
    host = (_address(settings.collector) or ("", 0))[0]
    for name, value in (
        ("trust_domain", settings.trust_domain),
        ("uid_domain", settings.uid_domain),
    ):
        if value and not DOMAIN.fullmatch(value):
            found.append(
                _error(f"{value!r} is no domain", name, "write it as example.org")
            )
        elif not value and host and not _is_named(host):
            found.append(
                _error(
                    f"it follows from the collector, and {host} is no host name",
                    name,
                    f"set it: condor_config_val {name.upper()} on the central manager",
                )
            )
    found += _of_identity(settings.identity)
    if not settings.ccb and not settings.cidrs:
        found.append(
            Finding(
                Level.WARNING,
                "without CCB the pool calls the nodes, and nobody is let in",
                "annexkit.pool.cidrs",
                f"let nodes call the pool: {EXPORT}_CCB=1; or name the addresses of "
                "the central manager and the access points",
            )
        )
    if settings.update_interval < 1:
        found.append(
            _error(
                "must be a second or more",
                "update_interval",
                f"{EXPORT}_UPDATE_INTERVAL=5m",
            )
        )
    return found


def _of_collector(text: str) -> list[Finding]:
    if not text:
        return [
            _error(
                "no pool is named",
                "collector",
                "set pool.collector in invoke.yaml, or "
                "INVOKE_ANNEXKIT_POOL_COLLECTOR, to the central manager's host name",
            )
        ]
    if "," in text or " " in text:
        mend = "name one collector: HOST or HOST:PORT"
        return [_error(f"{text!r} names more than one", "collector", mend)]
    if _address(text) is None:
        mend = "write HOST or HOST:PORT, the port from 1 to 65535"
        return [_error(f"{text!r} is no address", "collector", mend)]
    host = (_address(text) or ("",))[0]
    if host == "localhost" or host.startswith("127.") or host == "[::1]":
        mend = "use the name by which other machines reach it"
        return [_error(f"nodes cannot reach {host!r}", "collector", mend)]
    return []


def _of_identity(name: str) -> list[Finding]:
    if not NAME.fullmatch(name):
        mend = (
            f"write the name alone, the trust domain is added: {EXPORT}_IDENTITY=annex"
        )
        return [_error(f"{name!r} is no name for annexes", "identity", mend)]
    if name in POWERFUL:
        mend = f"use a name that nothing else has, such as: {EXPORT}_IDENTITY=annex"
        return [_error(f"{name!r} may be the pool's administrator", "identity", mend)]
    return []


def _address(text: str) -> tuple[str, int] | None:
    match = ADDRESS.fullmatch(text)
    if not match or ".." in match["host"]:
        return None
    port = int(match["port"] or PORT)
    return (match["host"], port) if 1 <= port <= 65535 else None


def _is_named(host: str) -> bool:
    return not host.startswith("[") and not re.fullmatch(r"[\d.]+", host)


def _error(what: str, key: str, mend: str) -> Finding:
    return Finding(Level.ERROR, what, f"annexkit.pool.{key}", mend)

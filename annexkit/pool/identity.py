"""Whether a node proved to the pool what it should be."""

from __future__ import annotations

from annexkit.pool.collector import Ad
from annexkit.pool.target import METHODS, Pool

# PASSWORD peers are one of these since HTCondor 23.9.0; older ones the second.
PASSWORD_NAMES = ("condor@password",)
OLD_PASSWORD_NAME = "condor_pool"  # noqa: S105 - a name


def expected(pool: Pool) -> tuple[str, ...]:
    """Return the identities by which the pool may know a node."""
    if pool.method == "password":
        return (*PASSWORD_NAMES, f"{OLD_PASSWORD_NAME}@{pool.uid_domain}")
    return (pool.identity,)


def mismatch(ad: Ad, pool: Pool) -> str:
    """Say how a node's identity is not what it should be, or ``""``."""
    method = METHODS[pool.method]
    if not ad.authentication_method:
        return "the collector took its ad without authentication"
    if ad.authentication_method != method and not _by_password(ad, pool):
        return f"it authenticated by {ad.authentication_method}, not by {method}"
    wanted = expected(pool)
    if ad.authenticated_identity not in wanted:
        known = ad.authenticated_identity or "nobody"
        return f"the collector knows it as {known}, not as {' or '.join(wanted)}"
    return ""


def _by_password(ad: Ad, pool: Pool) -> bool:
    """Say whether the name alone shows that it was the password.

    Seen with a collector of 25.14.1: once a node has read its configuration again
    (condor_reconfig there), its ads tell FS, the first method of the list, in place of
    the one that was used. The name stays right, and PASSWORD alone gives it.
    """
    return pool.method == "password" and ad.authenticated_identity in PASSWORD_NAMES

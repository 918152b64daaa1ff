"""Which HTCondor the pool runs, for who is about to promote a build for it."""

from __future__ import annotations

from dataclasses import dataclass

from annexkit.errors import AnnexkitError, Finding, Level
from annexkit.flows.site import Site
from annexkit.pool.collector import Collector
from annexkit.pool.target import Pool

INSTEAD = "; or set pool.version to its HTCondor, or say --no-pool"


@dataclass(frozen=True)
class PoolWord:
    """What is known of the pool. ``version`` is empty when nothing is.

    ``said``: where that comes from, for people. ``findings``: why it is not known
    although it should be.
    """

    version: str
    said: str
    findings: tuple[Finding, ...] = ()


def pool_word(site: Site, *, without: bool, needed: bool) -> PoolWord:
    """Ask the pool for its HTCondor, or say why it was not asked.

    A host without a pool nearby (a nightly job) has the setting ``pool.version``, or no
    pool in its settings, or says that it wants none. A pool that is named and does not
    answer is an error where its answer is needed: silence accepts nothing.

    :param without: do not ask.
    :param needed: an unanswered question is an error; else a warning.
    """
    given = site.settings.pool
    if without:
        return PoolWord("", "pool not asked: --no-pool")
    if given.version:
        said = f"pool not asked: pool.version says HTCondor {given.version}"
        return PoolWord(given.version, said)
    if not given.collector:
        return PoolWord("", "pool not asked: no pool is named (pool.collector)")
    try:
        pool = Pool.of(given)
        version = Collector(pool).about().version
    except AnnexkitError as error:
        level = Level.ERROR if needed else Level.WARNING
        found = tuple(
            Finding(level, f"pool not asked: {one.what}", one.where, one.mend + INSTEAD)
            for one in error.findings
            if one.level is Level.ERROR
        )
        return PoolWord("", f"pool not asked: {error.what}", found)
    if not version:
        what = "pool not asked: its collector does not say which HTCondor it runs"
        level = Level.ERROR if needed else Level.WARNING
        mend = "look at its CollectorLog" + INSTEAD
        return PoolWord("", what, (Finding(level, what, pool.collector, mend),))
    return PoolWord(version, f"the pool {pool.collector} runs {version}")

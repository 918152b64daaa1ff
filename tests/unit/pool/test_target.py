from __future__ import annotations

import pytest

from annexkit.errors import FindingsError, Level
from annexkit.pool.target import Pool, findings
from annexkit.sections import PoolSettings


def settings(**changes: object) -> PoolSettings:
    return PoolSettings.model_validate({"collector": "cm.example.org"} | changes)


def test_both_domains_are_the_collectors_host_name_when_unset() -> None:
    pool = Pool.of(settings())
    assert (pool.trust_domain, pool.uid_domain) == ("cm.example.org", "cm.example.org")
    assert pool.identity == "annex@cm.example.org"
    assert pool.collector == "cm.example.org:9618"


def test_what_is_set_is_taken() -> None:
    pool = Pool.of(
        settings(
            collector="10.0.0.7:9700",
            trust_domain="example.org",
            uid_domain="users.org",
            update_interval="30s",
            token_grace="10m",
            ccb=False,
            cidrs="10.0.0.0/8",
        )
    )
    assert (pool.host, pool.port, pool.ccb) == ("10.0.0.7", 9700, False)
    assert (pool.identity, pool.uid_domain) == ("annex@example.org", "users.org")
    assert (pool.update_interval, pool.token_grace) == (30, 600)


@pytest.mark.parametrize(
    ("changes", "where", "says"),
    [
        ({"collector": ""}, "collector", "no pool is named"),
        ({"collector": "a.org,b.org"}, "collector", "more than one"),
        ({"collector": "cm.example.org:0"}, "collector", "no address"),
        ({"collector": "cm.example.org:70000"}, "collector", "no address"),
        ({"collector": "cm..example.org"}, "collector", "no address"),
        ({"collector": "https://cm.example.org"}, "collector", "no address"),
        ({"collector": "localhost"}, "collector", "nodes cannot reach"),
        ({"collector": "10.0.0.7"}, "trust_domain", "no host name"),
        ({"trust_domain": "a b"}, "trust_domain", "no domain"),
        ({"uid_domain": "@x"}, "uid_domain", "no domain"),
        ({"identity": "annex@x"}, "identity", "no name"),
        ({"identity": ""}, "identity", "no name"),
        ({"identity": "condor"}, "identity", "administrator"),
        ({"update_interval": "0s"}, "update_interval", "a second or more"),
    ],
)
def test_what_cannot_be_a_pool_is_refused(
    changes: dict[str, object], where: str, says: str
) -> None:
    found = [f for f in findings(settings(**changes)) if f.where.endswith(where)]
    assert [f.level for f in found] == [Level.ERROR]
    assert says in found[0].what
    assert found[0].mend
    with pytest.raises(FindingsError):
        Pool.of(settings(**changes))


def test_without_ccb_somebody_has_to_be_let_in() -> None:
    (found,) = findings(settings(ccb=False))
    assert found.level is Level.WARNING
    assert found.where == "annexkit.pool.cidrs"

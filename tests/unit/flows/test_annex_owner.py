"""Names repeat in an account: what is somebody else's is not touched by chance."""

from __future__ import annotations

import pytest

from annexkit import tags
from annexkit.annexes import Annex
from annexkit.errors import Level, UsageError
from annexkit.flows.annex_owner import foreign, others, refuse_foreign, this_user
from annexkit.flows.site import Site
from annexkit.instances import Instance
from annexkit.settings import Settings
from tests.unit.helpers import REGION


def annex(*owners: str) -> Annex:
    nodes = (
        Instance(f"i-{n}", REGION, "running", tags={tags.OWNER: owner} if owner else {})
        for n, owner in enumerate(owners)
    )
    return Annex("grid", REGION, tuple(nodes))


def owned_by(site: Site, owner: str) -> Site:
    site.settings = Settings.model_validate({"launch": {"owner": owner}})
    return site


def test_who_runs_it_owns_what_the_settings_leave_open(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "carol")
    assert this_user(site) == "carol"
    assert this_user(owned_by(site, "alice")) == "alice"


def test_ones_own_nodes_and_those_without_an_owner_are_nobody_elses() -> None:
    assert others([annex("alice", ""), annex("alice")], "alice") == []
    assert others([annex("bob", "alice"), annex("carol")], "alice") == ["bob", "carol"]


def test_a_launch_into_somebody_elses_annex_is_an_error() -> None:
    [found] = foreign(annex("bob"), "alice")
    assert found.level is Level.ERROR
    assert found.what == "annex 'grid' is bob's, not alice's"
    assert foreign(annex("alice"), "alice") == []
    assert foreign(annex(), "alice") == []


def test_ending_it_needs_to_be_said(site: Site) -> None:
    owned_by(site, "alice")
    command = "invoke terminate --annex-name grid"
    with pytest.raises(UsageError, match="this annex is bob's, and you are alice") as e:
        refuse_foreign(site, [annex("bob")], force=False, command=command)
    assert e.value.mend.endswith(f"{command} --force")
    refuse_foreign(site, [annex("bob")], force=True, command=command)
    refuse_foreign(site, [annex("alice")], force=False, command=command)

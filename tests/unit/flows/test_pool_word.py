"""Who is asked for the pool's HTCondor, and what its silence means to a promotion."""

from __future__ import annotations

from typing import Any

import pytest

from annexkit.errors import Exit, FindingsError, Level
from annexkit.flows import pool_word as module
from annexkit.flows.pool_word import pool_word
from annexkit.flows.registry_promote import ChannelRequest, promote, roll_back
from annexkit.flows.site import Site
from annexkit.pool.collector import About
from annexkit.pool.target import Pool, PoolError
from annexkit.settings import load
from tests.unit.flows.channels import NEW, OLD, Ground

Captured = pytest.CaptureFixture[str]
POOL = "cm.example.org"


class Answer:
    """What the collector says; it counts who asked."""

    def __init__(self, said: About | PoolError) -> None:
        self.said = said
        self.asked: list[str] = []

    def collector(self, pool: Pool) -> Answer:
        self.asked.append(pool.collector)
        return self

    def about(self) -> About:
        if isinstance(self.said, PoolError):
            raise self.said
        return self.said


def version(number: str) -> About:
    return About(version=f"$CondorVersion: {number} 2026-10-01 BuildID: 1 $")


def silent() -> PoolError:
    return PoolError("no answer", where=POOL, mend="start it")


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Answer:
    answer = Answer(version("23.9.6"))
    monkeypatch.setattr(module, "Collector", answer.collector)
    return answer


def with_pool(site: Site, **pool: Any) -> Site:
    changed = site.settings.pool.model_copy(update={"collector": POOL, **pool})
    site.settings = site.settings.model_copy(update={"pool": changed})
    return site


def test_a_pool_that_is_named_is_asked(site: Site, answer: Answer) -> None:
    word = pool_word(with_pool(site), without=False, needed=True)
    assert "23.9.6" in word.version
    assert word.said.startswith(f"the pool {POOL}:9618 runs ")
    assert (word.findings, answer.asked) == ((), [f"{POOL}:9618"])


@pytest.mark.parametrize(
    ("pool", "without", "known", "said"),
    [
        ({"collector": ""}, False, "", "no pool is named (pool.collector)"),
        ({}, True, "", "--no-pool"),
        ({"version": "23.9"}, False, "23.9", "pool.version says HTCondor 23.9"),
        (
            {"collector": "", "version": "23.9"},
            False,
            "23.9",
            "pool.version says HTCondor 23.9",
        ),
        ({"version": "23.9"}, True, "", "--no-pool"),
    ],
)
def test_where_the_pool_is_not_asked_that_is_said_with_why(
    site: Site,
    answer: Answer,
    *,
    pool: dict[str, str],
    without: bool,
    known: str,
    said: str,
) -> None:
    word = pool_word(with_pool(site, **pool), without=without, needed=True)
    assert word.version == known
    assert word.said == f"pool not asked: {said}"
    assert (word.findings, answer.asked) == ((), [])


@pytest.mark.parametrize(
    ("needed", "level"), [(True, Level.ERROR), (False, Level.WARNING)]
)
@pytest.mark.parametrize("said", [silent(), About()], ids=["silent", "versionless"])
def test_a_pool_that_does_not_answer_is_an_error_where_its_word_is_needed(
    site: Site, answer: Answer, needed: bool, level: Level, said: About | PoolError
) -> None:
    answer.said = said
    word = pool_word(with_pool(site), without=False, needed=needed)
    assert word.version == ""
    (found,) = word.findings
    assert found.level is level
    assert found.what.startswith("pool not asked: ")
    assert "--no-pool" in found.mend and "pool.version" in found.mend


def test_a_pool_whose_settings_are_wrong_is_not_asked(
    site: Site, answer: Answer
) -> None:
    word = pool_word(with_pool(site, collector="a b"), without=False, needed=True)
    assert [f.level for f in word.findings] == [Level.ERROR]
    assert answer.asked == []


@pytest.mark.parametrize("good", ["23.9", "23.9.6", ""])
def test_the_setting_takes_a_version_of_htcondor(good: str) -> None:
    assert load({"pool": {"version": good}}).pool.version == good


@pytest.mark.parametrize("bad", ["23", "new", 23.1, "v23.9"])
def test_the_setting_takes_nothing_else(bad: object) -> None:
    with pytest.raises(FindingsError, match=r"annexkit\.pool\.version"):
        load({"pool": {"version": bad}})


class TestGuard:
    @pytest.fixture
    def ground(self, site: Site, answer: Answer) -> Ground:
        """NEW has an HTCondor of the next series but one; the pool runs OLD's."""
        ground = Ground(with_pool(site))
        ground.build(OLD)
        ground.build(NEW, htcondor="1:25.14.1+dfsg-1")
        ground.current(OLD)
        ground.candidate(NEW)
        return ground

    def test_a_build_that_is_newer_than_the_pool_is_not_promoted(
        self, ground: Ground, capsys: Captured
    ) -> None:
        assert promote(ground.site, ChannelRequest()) is Exit.FAILED
        assert set(ground.currents().values()) == {OLD}
        said = capsys.readouterr().err
        assert "HTCondor 25.14.1 of the image is newer than the pool's 23.9.6" in said
        assert "mend: upgrade the central manager first, or promote for another" in said

    def test_a_pool_that_is_new_enough_takes_it(
        self, ground: Ground, answer: Answer
    ) -> None:
        answer.said = version("25.14.1")
        assert promote(ground.site, ChannelRequest()) is Exit.DONE
        assert set(ground.currents().values()) == {NEW}

    def test_the_pool_is_asked_once_for_all_regions(
        self, ground: Ground, answer: Answer
    ) -> None:
        promote(ground.site, ChannelRequest())
        assert len(answer.asked) == 1

    def test_a_silent_pool_is_not_asked_when_nothing_is_to_move(
        self, ground: Ground, answer: Answer
    ) -> None:
        ground.current(NEW)
        answer.said = silent()
        assert promote(ground.site, ChannelRequest()) is Exit.DONE
        assert answer.asked == []

    def test_the_setting_guards_where_no_pool_is_near(
        self, ground: Ground, answer: Answer, capsys: Captured
    ) -> None:
        with_pool(ground.site, collector="", version="23.9")
        assert promote(ground.site, ChannelRequest()) is Exit.FAILED
        assert "newer than the pool's 23.9" in capsys.readouterr().err
        assert answer.asked == []

    def test_without_the_pool_it_is_promoted_and_that_is_said(
        self, ground: Ground, capsys: Captured
    ) -> None:
        assert promote(ground.site, ChannelRequest(no_pool=True)) is Exit.DONE
        assert "pool not asked: --no-pool" in capsys.readouterr().err
        assert set(ground.currents().values()) == {NEW}

    def test_the_silence_of_a_pool_accepts_nothing(
        self, ground: Ground, answer: Answer, capsys: Captured
    ) -> None:
        answer.said = silent()
        assert promote(ground.site, ChannelRequest()) is Exit.FAILED
        assert set(ground.currents().values()) == {OLD}
        assert "error: cm.example.org: pool not asked: no answer" in (
            capsys.readouterr().err
        )

    def test_and_does_not_stand_in_the_way_of_a_rollback(
        self, ground: Ground, answer: Answer, capsys: Captured
    ) -> None:
        ground.current(NEW)
        answer.said = silent()
        assert roll_back(ground.site, ChannelRequest()) is Exit.DONE
        assert set(ground.currents().values()) == {OLD}
        assert "warning: cm.example.org: pool not asked" in capsys.readouterr().err

    def test_but_no_rollback_leads_to_what_the_pool_cannot_use(
        self, ground: Ground
    ) -> None:
        ground.current(NEW)
        ground.current(OLD)
        assert roll_back(ground.site, ChannelRequest()) is Exit.FAILED
        assert set(ground.currents().values()) == {OLD}

    def test_a_build_of_unknown_htcondor_is_promoted_with_a_warning(
        self, ground: Ground, capsys: Captured
    ) -> None:
        def forget(registry: Any) -> None:
            registry.images["debian13"].builds[NEW].htcondor = ""

        ground.edit(forget)
        assert promote(ground.site, ChannelRequest()) is Exit.DONE
        assert "the build's HTCondor is not known" in capsys.readouterr().err

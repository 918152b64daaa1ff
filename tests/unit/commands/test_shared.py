"""What the environment says to switches."""

from __future__ import annotations

from typing import Any

import pytest

from annexkit import settings
from annexkit.commands.shared import as_given
from annexkit.errors import FindingsError

NAME = "INVOKE_ANNEXKIT_POOL_CCB"


def section(ccb: bool) -> dict[str, Any]:
    """What Invoke makes of the switch: every word but 0 is yes."""
    return {"pool": {"ccb": ccb}, "launch": {"count": 2}}


def read(monkeypatch: pytest.MonkeyPatch, word: str, *, invoke: bool = True) -> bool:
    monkeypatch.setenv(NAME, word)
    found = section(invoke)
    as_given(found, "INVOKE_ANNEXKIT")
    return settings.load(found).pool.ccb


@pytest.mark.parametrize("word", ["false", "no", "off", "False"])
def test_a_word_for_no_is_no(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    assert read(monkeypatch, word) is False


def test_numbers_and_words_for_yes_stay_what_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert read(monkeypatch, "0", invoke=False) is False
    assert read(monkeypatch, "1") is True
    assert read(monkeypatch, "yes") is True


def test_a_word_that_is_neither_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FindingsError, match="'perhaps'") as caught:
        read(monkeypatch, "perhaps")
    assert NAME in str(caught.value)


def test_a_file_that_says_otherwise_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, "yes", invoke=False) is False


def test_without_the_variable_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    found = section(True)
    as_given(found, "INVOKE_ANNEXKIT")
    assert found == section(True)

"""The result on standard output, everything else on standard error."""

from __future__ import annotations

import json

import pytest

from annexkit.console import Console
from annexkit.errors import Finding, FindingsError, Level, UsageError

Capture = pytest.CaptureFixture[str]


def test_progress_never_mixes_with_the_result(capsys: Capture) -> None:
    console = Console(as_json=True)
    console.step("baking")
    console.detail("slowly")
    console.result({"b": 1, "a": [2]}, "for people")
    out, err = capsys.readouterr()
    assert json.loads(out) == {"a": [2], "b": 1}
    assert out.index('"a"') < out.index('"b"')
    assert err == "> baking\n  slowly\n"


def test_people_get_the_text_and_no_json(capsys: Capture) -> None:
    Console().result({"a": 1}, "one thing")
    assert capsys.readouterr().out == "one thing\n"


def test_without_a_text_people_get_nothing(capsys: Capture) -> None:
    Console().result({"a": 1})
    assert capsys.readouterr().out == ""


def test_an_error_shows_every_finding_with_its_mend(capsys: Capture) -> None:
    found = [
        Finding(Level.ERROR, "broken", "there:1", "glue it"),
        Finding(Level.WARNING, "odd"),
    ]
    Console().error(FindingsError(found))
    assert capsys.readouterr().err == (
        "error: there:1: broken\n  mend: glue it\nwarning: odd\n"
    )


def test_square_brackets_are_text_and_not_markup(capsys: Capture) -> None:
    console = Console()
    console.step("[red]x[/red]")
    console.detail("[/]")
    console.error(UsageError("list[int]", where="[a]", mend="[b]"))
    console.result({}, "[bold]y")
    console.table(["[c]"], [["[d]"]])
    out, err = capsys.readouterr()
    for text in ("[red]x[/red]", "[/]", "list[int]", "[a]", "[b]"):
        assert text in err
    assert "[bold]y" in out
    assert "[d]" in out


def test_a_long_line_is_not_folded_where_there_is_no_terminal(capsys: Capture) -> None:
    Console().step("x" * 500)
    assert "x" * 500 in capsys.readouterr().err


def test_a_table_for_machines_is_a_list_of_rows_by_column(capsys: Capture) -> None:
    Console(as_json=True).table(["id", "age"], iter([("a", 1), ("b", None)]))
    assert json.loads(capsys.readouterr().out) == [
        {"age": 1, "id": "a"},
        {"age": None, "id": "b"},
    ]


def test_a_table_for_machines_may_say_more_than_its_rows(capsys: Capture) -> None:
    Console(as_json=True).table(["id"], [["a"]], data={"more": True})
    assert json.loads(capsys.readouterr().out) == {"more": True}


def test_an_empty_table_for_machines_is_still_json(capsys: Capture) -> None:
    Console(as_json=True).table(["id"], [], data=[])
    assert json.loads(capsys.readouterr().out) == []


def test_a_table_for_people_has_title_columns_and_cells(capsys: Capture) -> None:
    Console().table(["id", "age"], [("a", 1)], title="things")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == "things"
    assert lines[1].split() == ["id", "age"]
    assert lines[2].split() == ["a", "1"]


def test_a_row_of_the_wrong_length_is_not_cut_silently() -> None:
    with pytest.raises(ValueError, match="zip"):
        Console(as_json=True).table(["id", "age"], [["a"]])


def test_a_document_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    text = "[bold]x[/bold] :smile: " + "y" * 300 + "\n"
    Console().document(text)
    assert capsys.readouterr().out == text
    Console(as_json=True).document(text)
    assert capsys.readouterr().out == "", "the result is the one thing there"

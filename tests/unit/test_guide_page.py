"""docs/guide.md promises nothing that is not there: no command, no test."""

from __future__ import annotations

import ast
import inspect
import re
from functools import cache
from pathlib import Path

import pytest

import tasks

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "guide.md"
PAGES = [PAGE, *(ROOT / "docs" / n for n in ("central-manager-in-aws.md", "pool.md"))]
STEPS = [*"123456", *(f"7{part}" for part in "abcdef"), *("8", "9", "10", "11")]
COLUMNS = ["step", "the guide asks", "today", "command", "shown by"]
QUOTED = re.compile(r"`([^`]+)`")


def table(text: str) -> list[dict[str, str]]:
    """Return the rows of the page's table by its columns."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    assert rows[0] == COLUMNS
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows[2:]]


def missing(row: dict[str, str]) -> list[str]:
    """Return what a row names that is not there, and what it does not name at all."""
    commands, proofs = QUOTED.findall(row["command"]), QUOTED.findall(row["shown by"])
    found = [f"no command: {one}" for one in commands if not is_command(one)]
    found += [f"no test: {one}" for one in proofs if not is_test(one)]
    return found + [
        f"names no {what}"
        for what, named in (("command", commands), ("test", proofs))
        if not named
    ]


def is_command(text: str) -> bool:
    program, _, name = text.partition(" ")
    if program == "make":
        return re.search(rf"(?m)^{re.escape(name)}:", makefile()) is not None
    return program == "invoke" and name in tasks.ns.task_names


def is_test(text: str) -> bool:
    path, _, name = text.partition("::")
    return path.startswith("tests/") and name.startswith("test_") and name in of(path)


@cache
def makefile() -> str:
    return (ROOT / "Makefile").read_text()


@cache
def of(path: str) -> set[str]:
    """Return the tests of a file; nothing when it is not there."""
    file = ROOT / path
    body = ast.parse(file.read_text()).body if file.is_file() else []
    return {one.name for one in body if isinstance(one, ast.FunctionDef)}


def test_every_step_of_the_guide_has_one_row() -> None:
    assert [row["step"] for row in table(PAGE.read_text())] == STEPS


@pytest.mark.parametrize("row", table(PAGE.read_text()), ids=lambda row: row["step"])
def test_a_rows_commands_and_tests_are_there(row: dict[str, str]) -> None:
    assert missing(row) == []


HERE = "tests/unit/test_guide_page.py"
GOOD = {
    "command": "`invoke bake`, `make install`",
    "shown by": f"`{HERE}::test_every_step_of_the_guide_has_one_row`",
}


@pytest.mark.parametrize(
    ("column", "text", "says"),
    [
        ("command", "", ""),
        ("command", "`invoke bake`, `invoke unbake`", "no command: invoke unbake"),
        ("command", "`make unbake`", "no command: make unbake"),
        ("command", "`rm bake`", "no command: rm bake"),
        ("command", "by hand", "names no command"),
        ("shown by", "", ""),
        ("shown by", "seen", "names no test"),
        ("shown by", "`tests/unit/test_none.py::test_x`", "test_none.py::test_x"),
        ("shown by", "`tests/unit/test_guide_page.py::test_x`", "page.py::test_x"),
        ("shown by", "`tests/unit/test_guide_page.py::missing`", "page.py::missing"),
        ("shown by", "`tests/unit/test_guide_page.py`", "no test: tests/unit"),
    ],
)
def test_a_promise_that_is_not_kept_is_found(column: str, text: str, says: str) -> None:
    found = missing(GOOD | ({column: text} if text else {}))
    assert (says in "".join(found)) if says else found == []


def invoked(text: str) -> list[tuple[str, set[str]]]:
    """Return every task that a page tells people to invoke, with its flags."""
    joined = text.replace("\\\n", " ")
    spans = re.findall(r"```.*?```|`[^`]+`", joined, re.DOTALL)
    return [
        (name, set(re.findall(r" --([a-z-]+)", rest)))
        for span in spans
        for name, rest in re.findall(
            r"\binvoke\s+([a-z][\w.-]*)([^\n`#;]*)", span.replace("\n--", " --")
        )
    ]


def flags_of(name: str) -> set[str]:
    """Return a task's flags, as Invoke makes them of its parameters."""
    parameters = inspect.signature(tasks.ns[name].body).parameters
    return {one.strip("_").replace("_", "-") for one in parameters} - {"c"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_tells_people_to_type_is_there(page: Path) -> None:
    told = invoked(page.read_text())
    assert told
    for name, flags in told:
        assert name in tasks.ns.task_names
        assert flags <= flags_of(name), name


def test_a_flag_that_is_none_is_seen() -> None:
    told = invoked("`invoke pool.check --from FILE` and `invoke pool.check\n--fro X`")
    assert told == [("pool.check", {"from"}), ("pool.check", {"fro"})]
    assert flags_of("pool.check") == {"from", "json"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_pages_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    links = re.findall(r"\]\(([^)#:]*)(#[^)]+)?\)", text)
    assert links or page.name == "pool.md"
    for path, anchor in links:
        file = (page.parent / path).resolve() if path else page
        headings = re.findall(r"(?m)^#+ (.*)$", file.read_text())
        anchors = {
            "#" + re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-")
            for one in headings
        }
        assert not anchor or anchor in anchors, anchor
    named = set(re.findall(r"\]\[([a-z]+)\]", text))
    assert named == set(re.findall(r"(?m)^\[([^\]]+)\]: https://", text))


def test_the_pages_are_found_from_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    for page in PAGES:
        assert f"(docs/{page.name}" in text

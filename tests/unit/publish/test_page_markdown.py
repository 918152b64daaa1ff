from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from markdown_it import MarkdownIt
from markdown_it.token import Token

from annexkit.publish.night import Night
from annexkit.publish.page_markdown import MOST, code, prose, render_markdown
from annexkit.publish.page_words import plain
from tests.unit.publish import hostile, nights

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
OURS = re.compile(
    r"<details><summary>[\w ,:–-]+</summary>\n?|</details>\n?|</?code>", re.ASCII
)
NIGHTS = {
    "quiet": nights.quiet(),
    "busy": nights.busy(),
    "red": nights.red(),
    "empty": nights.a_night(),
    "huge": nights.huge(),
}


def flat(tokens: list[Token]) -> list[Token]:
    return [one for token in tokens for one in (token, *flat(token.children or []))]


def rows(text: str) -> list[list[str]]:
    """Return the rows of all tables, each with the text of its cells."""
    found: list[list[str]] = []
    tokens = READER.parse(text)
    for token, following in pairwise(tokens):
        if token.type == "tr_open":
            found.append([])
        elif token.type in ("td_open", "th_open"):
            found[-1].append(shown(following))
    return found


def shown(inline: Token) -> str:
    parts = (
        one.content
        for one in inline.children or []
        if one.type in ("text", "text_special", "code_inline")
    )
    return "".join(parts).replace("\u200b", "")


@pytest.mark.parametrize("name", NIGHTS)
def test_the_first_line_is_all_that_has_to_be_read(name: str) -> None:
    first, second, *_ = render_markdown(NIGHTS[name]).splitlines()
    words = {"busy": "Changed", "huge": "Changed", "red": "Failed"}
    assert first.startswith(f"**{words.get(name, 'Nothing to do')}:** ")
    assert second == ""


@pytest.mark.parametrize("night", NIGHTS.values(), ids=NIGHTS)
def test_github_takes_it(night: Night) -> None:
    text = render_markdown(night)
    assert len(text.encode()) <= MOST < 65_536
    assert text.endswith("\n")
    assert text.count("<details>") == text.count("</details>")


def test_every_region_and_step_is_in_the_matrix() -> None:
    found = [row for row in rows(render_markdown(nights.red())) if len(row) == 6]
    regions = [row for row in found if row[0] in nights.REGIONS]
    assert [row[0] for row in regions] == [*nights.REGIONS, *nights.REGIONS]
    south = next(row for row in regions if row[0] == "ap-south-1")
    assert south == [*("ap-south-1", "–", "❌ failed", "⏳ waiting", "⏳ waiting", "–")]
    west = next(row for row in regions if row[0] == "eu-west-1")
    assert west[1:5] == [
        *("ami-0000000000000006c", "✅ done, 4 min 44 s"),
        *("❌ failed, 5 min 1 s", "⏳ waiting"),
    ]


def test_what_was_not_touched_is_folded_or_one_line() -> None:
    text = render_markdown(nights.red())
    assert "- 16 regions: ⏳ waiting\n" in text
    assert "<details><summary>16 regions: unchanged</summary>\n\n|" in text


def test_a_red_night_says_what_to_type_next() -> None:
    tokens = READER.parse(render_markdown(nights.red()))
    fences = [one for one in flat(tokens) if one.type == "fence"]
    assert {one.info for one in fences} == {"sh"}
    assert [one.content.strip() for one in fences] == [
        "invoke doctor",
        "invoke why i-0abc --region eu-west-1",
        "invoke why i-0abc --region sa-east-1",
        "invoke retire",
        "invoke nightly --resume",
    ]
    [listed] = [one for one in tokens if one.type == "ordered_list_open"]
    assert listed.level == 0
    assert "What to do" not in render_markdown(nights.busy())


def test_important_packages_come_first_and_many_others_are_folded() -> None:
    text = render_markdown(nights.busy())
    before, fold, after = text.partition("<details><summary>10 other packages")
    assert fold
    assert ["condor", "23.9.6+dfsg-2.1", "23.10.18+dfsg-1"] in rows(before)
    assert ["apptainer", "1.4.0-1", "1.4.1-1"] in rows(before)
    assert ["whiptail", "0.52.24-4", "removed"] in rows(after)


def test_what_was_retired_and_why_and_the_cost_are_told() -> None:
    text = render_markdown(nights.busy())
    assert [
        *("deregister", nights.retirement()[2].ami, "debian13 x86_64", "us-east-1"),
        *("20261012T031700-000002", "disabled for 7 days; 1 snapshot"),
    ] in rows(text)
    assert "2 other AMIs stay for now." in text
    assert "- tonight: about $0.37 (estimated)\n" in text
    assert "before this night: at most $41.30\n" in text


def test_a_look_says_that_nothing_was_changed() -> None:
    night = nights.busy()
    night.dry_run = True
    text = render_markdown(night)
    assert text.startswith("**Would change:** ")
    assert "only looked, changed nothing" in text
    assert "## What would be retired" in text


@pytest.mark.parametrize(("images", "regions"), [(10, 4), (40, 1), (40, 16)], ids=str)
def test_a_huge_night_is_cut_and_says_so(images: int, regions: int) -> None:
    text = render_markdown(nights.huge(images, regions))
    assert MOST / 4 < len(text.encode()) <= MOST
    assert "500 packages changed" in text
    assert re.search(r"… and 4\d\d more packages\.", text)
    assert f"All of them: `invoke registry.diff {nights.OLD} " in text
    assert text.rstrip().splitlines()[-1].startswith("- snapshots a month, after")


def test_even_what_is_far_too_much_fits() -> None:
    night = hostile.night("|`<&_*" * 4000)
    night.images *= 15
    night.retired *= 400
    text = render_markdown(night)
    assert len(text.encode()) <= MOST
    assert text.startswith("**Failed:** ")


@settings(max_examples=60, deadline=None)
@given(hostile.texts())
@example("".join(hostile.TRICKS))
def test_what_others_wrote_is_never_markdown(text: str) -> None:
    for failed in (True, False):
        page = render_markdown(hostile.night(text, failed=failed))
        tokens = flat(READER.parse(page))
        kinds = {one.type for one in tokens}
        assert not kinds & {"image", "link_open", "em_open", "s_open", "code_block"}
        html = [one.content for one in tokens if one.type.startswith("html")]
        assert all(OURS.fullmatch(one) for one in html)
        heads = [one for one in tokens if one.type == "heading_open"]
        assert len(heads) == (5 if failed else 4)
        for before, one in pairwise(tokens):
            if one.type == "text" and before.content != "<code>":
                assert not re.search(
                    r"[@#](?=\w)|://|(?i:\bwww\.|\bgh-\d)", one.content
                )
        for row in rows(page):
            assert len(row) in (3, 4, 6)


@given(hostile.texts())
@example("a\\|b`c|d\\")
def test_text_in_a_cell_reads_as_it_was_written(text: str) -> None:
    table = f"| a | b |\n|---|---|\n| {prose(text)} | {code(text)} |\n"
    [_, cells] = rows(table)
    said = plain(text).replace("\u200b", "")
    assert cells == [said, said or "–"]

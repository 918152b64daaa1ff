from __future__ import annotations

import pytest
from hypothesis import example, given, settings

from annexkit.publish.night import Did, Night, RegionNight
from annexkit.publish.page_html import render_html
from annexkit.publish.page_words import plain
from tests.unit.publish import hostile, nights
from tests.unit.publish.parsed import Node, Page

LIMIT = 300_000  # bytes
NIGHTS = {
    "quiet": nights.quiet(),
    "busy": nights.busy(),
    "red": nights.red(),
    "empty": nights.a_night(),
    "huge": nights.huge(),
}


def read(night: Night) -> Node:
    page = Page(render_html(night))
    assert page.wrong == []
    return page.root


def section(page: Node, title: str) -> Node:
    return next(
        s for s in page.all("section") if s.all("h2")[0].text.strip().startswith(title)
    )


def cells(table: Node) -> list[list[str]]:
    return [
        [" ".join(c.text.split()) for c in row.children]
        for row in table.all("tbody")[0].all("tr")
    ]


@pytest.mark.parametrize("night", NIGHTS.values(), ids=NIGHTS)
def test_the_page_is_one_sound_document(night: Night) -> None:
    text = render_html(night)
    assert text.startswith("<!doctype html>\n<html lang=")
    page = read(night)
    assert len(page.all("h1")) == len(page.all("main")) == 1
    ids = [n.attributes["id"] for n in everything(page) if "id" in n.attributes]
    assert len(ids) == len(set(ids))
    for link in page.all("a"):
        assert link.attributes["href"].removeprefix("#") in ids
    for svg in page.all("svg"):
        for name in svg.attributes.get("aria-labelledby", "").split():
            assert name in ids


def everything(node: Node) -> list[Node]:
    return [n for child in node.children for n in (child, *everything(child))]


@pytest.mark.parametrize("night", NIGHTS.values(), ids=NIGHTS)
def test_nothing_is_fetched_and_nothing_runs(night: Night) -> None:
    page = read(night)  # scripts, pictures, frames and forms are not of KNOWN
    [policy] = [m for m in page.all("meta") if "http-equiv" in m.attributes]
    assert policy.attributes["content"].startswith("default-src 'none'; ")
    for node in everything(page):
        for name, value in node.attributes.items():
            assert "//" not in value
            assert name != "href" or value.startswith("#")


@pytest.mark.parametrize("night", NIGHTS.values(), ids=NIGHTS)
def test_every_table_has_a_caption_and_heads(night: Night) -> None:
    for table in read(night).all("table"):
        [caption] = table.all("caption")
        assert caption.text
        heads = table.all("thead")[0].all("th")
        assert all(h.attributes["scope"] == "col" and h.text for h in heads)
        for row in table.all("tbody")[0].all("tr"):
            spans = [int(c.attributes.get("colspan", "1")) for c in row.children]
            assert sum(spans) == len(heads)
            if len(spans) > 1:
                [head] = row.all("th")
                assert head.attributes["scope"] == "row"


@pytest.mark.parametrize("night", NIGHTS.values(), ids=NIGHTS)
def test_no_state_is_known_by_its_colour_alone(night: Night) -> None:
    shapes = read(night).has("class", "w")
    assert len(shapes) > 10 * len(night.images)
    for node in shapes:
        assert node.text.strip()
        assert set(node.attributes["class"].split()) & {str(did) for did in Did}


def test_a_quiet_night_says_so_and_folds_the_rest() -> None:
    page = read(nights.quiet())
    assert page.has("class", "badge")[0].text == "Nothing to do"
    assert page.all("h1")[0].text == "2 images are unchanged in 16 regions"
    assert page.all("title")[0].text.startswith("Nothing to do: ")
    assert "What to do" not in [h.text for h in page.all("h2")]
    matrix = [t for t in page.all("table") if len(t.all("tr")) == 17]
    folded = [t for d in page.all("details") for t in d.all("table")]
    assert len(matrix) == 2
    assert all(any(t is f for f in folded) for t in matrix)
    assert f"unchanged since build {nights.OLD}" in section(page, "debian13 ").text


def test_the_matrix_has_every_region_and_step_with_the_error_below() -> None:
    image = section(read(nights.red()), "debian13 x86_64")
    table = image.all("table")[0]
    assert [h.text for h in table.all("thead")[0].all("th")] == [
        *("region and AMI", "copy", "smoke", "promote", "boot")
    ]
    rows = cells(table)
    assert [row[0].split("ami-")[0] for row in rows if len(row) > 1] == list(
        nights.REGIONS
    )
    at = next(n for n, row in enumerate(rows) if row[0] == "ap-south-1")
    assert rows[at] == ["ap-south-1", "failed", "waiting", "waiting", "–"]
    assert rows[at + 1] == [
        "copy: ec2.ap-south-1.amazonaws.com: no answer within 60 s, 5 times "
        "invoke doctor"
    ]
    at = next(n for n, row in enumerate(rows) if row[0].startswith("eu-west-1"))
    assert rows[at][1:4] == ["done4 min 44 s", "failed5 min 1 s", "waiting"]


def test_regions_that_all_wait_are_one_line() -> None:
    image = section(read(nights.red()), "alma9-osg")
    assert image.all("table") == []
    assert "16 regions: waiting" in image.text
    assert "Packer failed at 'provision'" in image.has("class", "error")[0].text


def test_a_red_night_says_what_to_type_next() -> None:
    todo = section(read(nights.red()), "What to do")
    assert [p.text for p in todo.all("pre")] == [
        "invoke doctor",
        "invoke why i-0abc --region eu-west-1",
        "invoke why i-0abc --region sa-east-1",
        "invoke retire",
        "invoke nightly --resume",
    ]
    assert "see that the repository answers, then: invoke bake" in todo.text


def test_a_command_too_long_to_be_shown_whole_is_no_command() -> None:
    night = nights.quiet()
    night.images[0].bake = nights.failed("no", f"invoke bake {'x' * 500}")
    todo = section(read(night), "What to do")
    assert [p.text for p in todo.all("pre")] == ["invoke nightly --resume"]
    assert todo.text.count("x" * 488) == 1


def test_packages_come_in_order_and_the_many_are_folded() -> None:
    image = section(read(nights.busy()), "debian13 x86_64")
    tables = [t for t in image.all("table") if "before" in t.all("thead")[0].text]
    assert cells(tables[0])[0] == ["condor", "23.9.6+dfsg-2.1", "23.10.18+dfsg-1"]
    assert cells(tables[0])[1][1:] == ["6.12.48-1", "removed"]
    [fold] = [d for d in image.all("details") if "10 other" in d.all("summary")[0].text]
    assert cells(fold.all("table")[0]) == cells(tables[1])
    assert len(cells(tables[1])) == 10


def test_the_retirement_and_the_cost_are_told() -> None:
    page = read(nights.busy())
    rows = cells(section(page, "Retired").all("table")[0])
    assert rows[0] == [
        "deprecate",
        f"{nights.retirement()[0].ami}debian13 x86_64, us-west-2, "
        f"{nights.retirement()[0].build}",
        "older than 14 nights, and no week's newest",
    ]
    assert "2 other AMIs stay for now." in section(page, "Retired").text
    cost = section(page, "Cost").text
    assert "$0.37" in cost
    assert "at most $41.30" in cost
    assert "at most $38.85" in cost


def test_a_step_of_the_retirement_that_failed_says_so_first() -> None:
    rows = cells(section(read(nights.red()), "Retired").all("table")[0])
    assert [row[0] for row in rows] == ["disable failed", "deprecate", "deregister"]
    assert rows[0][2] == "deprecated for 14 daysUnauthorizedOperation: ec2:DisableImage"


def test_what_steps_say_of_themselves_is_there() -> None:
    image = section(read(nights.busy()), "debian13 x86_64")
    [fold] = [d for d in image.all("details") if "says" in d.all("summary")[0].text]
    rows = cells(fold.all("table")[0])
    assert rows[0] == ["bakeus-west-2", "–", "$0.02"]
    assert len(rows) == 2 + 15 + 16  # bake and boot, copies but home's, smokes


def test_an_image_is_plotted_once() -> None:
    page = read(nights.busy())
    plots = [svg for svg in page.all("svg") if svg.attributes.get("role") == "img"]
    assert [svg.all("title")[0].text for svg in plots] == [
        "Boot times of debian13 x86_64",
        "Boot times of alma9 x86_64",
    ]


@pytest.mark.parametrize(("images", "regions"), [(10, 4), (40, 1)], ids=str)
def test_the_page_stays_small_and_says_what_it_left_out(
    images: int, regions: int
) -> None:
    night = nights.huge(images, regions)
    text = render_html(night)
    assert LIMIT / 3 < len(text.encode()) < LIMIT
    page = read(night)
    assert len(section(page, "Images").all("tr")) == 1 + images
    first = section(page, "debian13-0")
    assert "500 packages changed" in first.text
    assert any("more packages" in p.text for p in first.all("p"))
    assert f"invoke registry.diff {nights.OLD} {nights.NEW}" in first.text
    assert "23.10.18+dfsg-1" in first.text


def test_even_what_is_far_too_much_fits() -> None:
    night = hostile.night("<&>'\"" * 4000)
    image = night.images[0]
    many = {f"{n}<&>": RegionNight(copied=image.bake) for n in range(20)}
    image.regions, image.why = many, image.why * 30
    image.packages *= 300
    night.images *= 15
    night.retired *= 400
    text = render_html(night)
    assert len(text.encode()) < LIMIT
    assert Page(text).wrong == []


@settings(max_examples=60, deadline=None)
@given(hostile.texts())
@example("".join(hostile.TRICKS))
def test_what_others_wrote_stays_text(text: str) -> None:
    for failed in (True, False):
        page = read(hostile.night(text, failed=failed))
        said = plain(text, 100)
        name = plain(f"{text} {text}", 80)
        assert name in page.all("h2")[2 if failed else 1].text
        assert not said or plain(text, 120) in [dd.text for dd in page.all("dd")]
        heads = [th.text for th in page.all("th")]
        assert sum(said == th for th in heads) >= 10  # packages

"""What to keep, in words: read strictly, each stranger named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexkit.errors import FindingsError
from annexkit.publish.keep_rule import CHANNELS, EXAMPLE, KeepRule, parse


def wrong(text: str) -> list[str]:
    with pytest.raises(FindingsError) as caught:
        parse(text)
    assert {f.where for f in caught.value.findings} == {"annexkit.retire.keep"}
    assert all(f.mend for f in caught.value.findings)
    return [f"{f.what} -- {f.mend}" for f in caught.value.findings]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (EXAMPLE, KeepRule(14, 8, always=("current", "previous"))),
        ("keep 14 nights", KeepRule(14)),
        ("keep: 1 night, 1 week, 1 month, 1 build", KeepRule(1, 1, 1, 1)),
        ("Keep 3 Nights and 2 months", KeepRule(3, months=2)),
        ("candidate always", KeepRule(always=("candidate",))),
        ("current and previous and candidate always", KeepRule(always=CHANNELS)),
        ("current always, previous always", KeepRule(always=("current", "previous"))),
    ],
)
def test_a_rule_is_read(text: str, rule: KeepRule) -> None:
    assert parse(text) == rule


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("14 nigths", "unknown word 'nigths' -- did you mean 'nights'?"),
        ("14 nights, 8 wekks", "unknown word 'wekks' -- did you mean 'weeks'?"),
        ("3 fortnights", "unknown word 'fortnights' -- did you mean 'nights'?"),
        ("current and previous allways", "did you mean 'always'?"),
        ("curent always", "did you mean 'current'?"),
        ("7 xyz", "known words: nights, weeks"),
        ("-3 nights", "unknown word '-3'"),
        ("1.5 weeks", "unknown word '1.5'"),
        ("nights", "'nights' is no part of a rule"),
        ("14", "'14' is no part of a rule"),
        ("14 nights 8 weeks", "'14 nights 8 weeks' is no part of a rule"),
        ("14 14", "'14 14' is no part of a rule"),
        ("3 and", "'3' is no part of a rule"),
        ("0 nights", "'0 nights': from 1 to 9999 -- leave nights out"),
        ("99999 weeks", "from 1 to 9999"),
        ("3 nights, 4 nights", "'nights' stands twice"),
        ("current and current always", "'current' stands twice"),
        ("current", "'current' is no part of a rule -- current and previous always"),
        ("current previous always", "is no part of a rule"),
        ("current and always", "names no channel"),
        ("always", "names no channel"),
        ("14 current always", "is no part of a rule"),
        ("current always and 3 nights", "is no part of a rule"),
        ("14 nights,", "an empty part"),
        ("", "an empty part"),
    ],
)
def test_what_has_no_place_in_it_is_named(text: str, says: str) -> None:
    assert says in " | ".join(wrong(text))


def test_all_that_is_wrong_is_said_at_once() -> None:
    assert len(wrong("14 nigths, 8 wekks, curent always, 0 builds")) == 4


@given(
    st.builds(
        KeepRule,
        *(st.integers(0, 9999) for _ in range(4)),
        st.permutations(CHANNELS).flatmap(
            lambda names: st.integers(0, 3).map(lambda n: tuple(names[:n]))
        ),
    ).filter(str)
)
def test_a_rule_says_itself_as_it_is_read(rule: KeepRule) -> None:
    assert parse(str(rule)) == rule


@given(st.text(alphabet="0159 ,andnightsweekcurrentalways:-"))
def test_any_text_is_a_rule_or_has_findings(text: str) -> None:
    try:
        assert str(parse(text))
    except FindingsError as error:
        assert error.findings

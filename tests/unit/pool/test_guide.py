from __future__ import annotations

import re
from pathlib import Path

import pytest

from annexkit.errors import Level
from annexkit.pool import guide
from annexkit.pool.dumped import Setting
from annexkit.pool.guide import Line, Reading, Verdict, beside, is_guides, judge, works
from tests.unit.pool.guide_file import NAME, TEXT

HERE = Path("/etc/condor/config.d") / NAME
OURS = "FS", "IDTOKENS"
CLIENT = "SEC_CLIENT_AUTHENTICATION_METHODS"
ALLOWED = "ALLOW_DAEMON"
SECRET = "SEC_PASSWORD_FILE"


def reading(live: dict[str, Setting] | None = None, version: str = "") -> Reading:
    return Reading(HERE, OURS, live, version)


def verdicts(text: str, read: Reading | None = None) -> dict[str, Verdict]:
    return {one.line.name: one for one in judge(text, read or reading())}


def at(value: str, source: str = f"{HERE}, line 3") -> Setting:
    return Setting(value, source)


def test_the_guides_file_is_judged_line_by_line() -> None:
    found = verdicts(TEXT)
    assert len(found) == 15
    levels = {name: one.level for name, one in found.items()}
    broken = {name for name, level in levels.items() if level is Level.ERROR}
    assert broken == {
        *(f"SEC_{who}_AUTHENTICATION_METHODS" for who in guide.WHO),
        SECRET,
    }
    weak = {name for name, level in levels.items() if level is Level.WARNING}
    assert weak == {
        *(f"SEC_{who}_ENCRYPTION" for who in guide.WHO),
        "SEC_CLIENT_AUTHENTICATION",
        ALLOWED,
    }
    needless = [one for one in found.values() if "not needed" in one.what]
    assert len(needless) == 6
    assert not any(one.better for one in needless)


def test_every_finding_names_its_line() -> None:
    found = guide.findings(judge(TEXT, reading()), HERE, "invoke x")
    where = {f.what.partition(":")[0]: f.where for f in found}
    text = TEXT.splitlines()
    for name, place in where.items():
        path, _, number = place.rpartition(", line ")
        assert path == str(HERE)
        assert text[int(number) - 1].startswith(f"{name} = ")
    assert {f.mend for f in found if f.level is Level.ERROR} == {"invoke x"}
    assert {f.mend for f in found if f.level is Level.INFO} == {""}


def test_what_works_has_methods_for_everybody_and_a_key_of_its_own() -> None:
    text = works(judge(TEXT, reading()), HERE)
    said = dict(
        line.split(" = ", 1) for line in text.splitlines() if not line.startswith("#")
    )
    for who in guide.WHO:
        methods = said[f"SEC_{who}_AUTHENTICATION_METHODS"]
        assert methods == "FS, IDTOKENS, PASSWORD"
        assert said[f"SEC_{who}_ENCRYPTION"] == "REQUIRED"
    assert said[SECRET] == "/etc/condor/condor_pool_password"
    assert said[guide.KEY] == "$(SEC_PASSWORD_DIRECTORY)/POOL"
    assert said[ALLOWED].split() == [
        "$(ALLOW_DAEMON)",
        "condor_pool@*",
        "condor@password",
    ]
    assert not is_guides(text)
    assert all(one.level is Level.INFO for one in judge(text, live_of(text)))


def live_of(text: str) -> Reading:
    """Read a file that HTCondor reads last, with what it then has."""
    live = {
        line.name.lower(): at(line.value.replace("$(ALLOW_DAEMON)", ""))
        for line in guide.lines(text)
    }
    return reading(live, "25.14.1")


def test_what_works_is_read_after_the_guides_file() -> None:
    for name in (NAME, "99_annex.config", "zz", "a.b.config"):
        path = HERE.with_name(name)
        order = sorted([path.name.encode(), beside(path).name.encode()])
        assert order == [path.name.encode(), beside(path).name.encode()]


def test_a_list_that_somebody_defined_before_is_no_fault() -> None:
    line = f"{CLIENT} = $({CLIENT}), PASSWORD\n"
    assert verdicts(line)[CLIENT].level is Level.ERROR
    before = f"{CLIENT} = FS\n{line}"
    found = judge(before, reading())
    assert [one.level for one in found] == [Level.INFO, Level.INFO]
    live = {CLIENT.lower(): at("FS, PASSWORD")}
    assert verdicts(line, reading(live))[CLIENT].level is Level.INFO
    live = {CLIENT.lower(): at(", PASSWORD")}
    assert verdicts(line, reading(live))[CLIENT].level is Level.ERROR


def test_a_list_of_the_password_alone_breaks_as_much() -> None:
    assert verdicts(f"{CLIENT} = PASSWORD\n")[CLIENT].level is Level.ERROR
    assert verdicts(f"{CLIENT} = FS PASSWORD\n")[CLIENT].level is Level.INFO


@pytest.mark.parametrize(
    ("value", "version", "level"),
    [
        ("$(ALLOW_DAEMON), condor_pool@*", "25.14.1", Level.WARNING),
        ("$(ALLOW_DAEMON), condor_pool@*", "", Level.WARNING),
        ("$(ALLOW_DAEMON), condor_pool@*", "23.8.1", Level.INFO),
        ("condor_pool@example.org", "23.9.6", Level.ERROR),
        ("condor_pool@example.org", "10.0.9", Level.INFO),
        ("condor_pool@* condor@password", "23.9.6", Level.INFO),
        ("condor@*", "23.9.6", Level.INFO),
        ("*", "", Level.INFO),
    ],
)
def test_the_name_of_who_knows_the_password_changed_with_23_9(
    value: str, version: str, level: Level
) -> None:
    found = verdicts(f"ALLOW_DAEMON = {value}\n", reading(version=version))[ALLOWED]
    assert found.level is level
    assert "condor@password" in found.better[0].split()


def test_what_the_host_allows_in_the_end_is_what_counts() -> None:
    # As 25.14.1 has it with its own template and the guide's file after it.
    live = {ALLOWED.lower(): at("condor@*  condor@password, condor_pool@*")}
    assert verdicts(TEXT, reading(live, "25.14.1"))[ALLOWED].level is Level.INFO


@pytest.mark.parametrize(
    ("key", "level"),
    [("/etc/condor/condor_pool_password", Level.ERROR), ("/x/POOL", Level.INFO)],
)
def test_the_password_signs_tokens_unless_another_key_does(
    key: str, level: Level
) -> None:
    live = {
        SECRET.lower(): at("/etc/condor/condor_pool_password"),
        guide.KEY.lower(): at(key, "<Default>"),
    }
    assert verdicts(TEXT, reading(live))[SECRET].level is level


def test_what_a_later_file_sets_again_does_no_harm() -> None:
    later = f"{beside(HERE)}, line 6"
    live = {CLIENT.lower(): at("FS, PASSWORD", later), SECRET.lower(): at("/p", later)}
    live[guide.KEY.lower()] = at("/p", "<Default>")
    found = verdicts(TEXT, reading(live))
    assert (found[CLIENT].level, later in found[CLIENT].what) == (Level.INFO, True)
    assert found[SECRET].level is Level.ERROR, "the key is what does harm"
    live[guide.KEY.lower()] = at("/q", later)
    assert later in verdicts(TEXT, reading(live))[SECRET].what


@pytest.mark.parametrize(
    ("line", "better"),
    [
        ("SEC_DAEMON_INTEGRITY = OPTIONAL", "SEC_DAEMON_INTEGRITY = REQUIRED"),
        (
            "SEC_ENABLE_MATCH_PASSWORD_AUTHENTICATION = False",
            "SEC_ENABLE_MATCH_PASSWORD_AUTHENTICATION = TRUE",
        ),
        (
            "SEC_CLIENT_AUTHENTICATION = REQUIRED",
            "SEC_CLIENT_AUTHENTICATION = OPTIONAL",
        ),
    ],
)
def test_what_is_less_or_more_than_htcondors_own_is_a_warning(
    line: str, better: str
) -> None:
    (found,) = judge(line, reading())
    assert (found.level, found.better) == (Level.WARNING, (better,))


def test_case_does_not_matter() -> None:
    text = re.sub(r"(?m)^\w+", lambda match: match[0].lower(), TEXT)
    assert [one.level for one in judge(text, reading())] == [
        one.level for one in judge(TEXT, reading())
    ]
    assert is_guides(text)


def test_other_settings_are_left_alone() -> None:
    found = verdicts("NEGOTIATOR_INTERVAL = 20\n")["NEGOTIATOR_INTERVAL"]
    assert (found.level, found.better) == (Level.INFO, ())
    assert works([found], HERE) == ""


def test_lines_are_read_as_htcondor_reads_them() -> None:
    text = "# X = 1\nA=1 \\\n  2\n\nif defined B\n  C.D = $(E)\nendif\nuse ROLE: X\n"
    assert list(guide.lines(text)) == [
        Line(2, "A", "1    2"),
        Line(6, "C.D", "$(E)"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TEXT, True),
        (f"{SECRET} = /x\n", False),
        (f"{CLIENT} = $({CLIENT}), PASSWORD\n", False),
        (f"{SECRET} = /x\n{CLIENT} = FS, PASSWORD\n", False),
        ("", False),
    ],
)
def test_the_guides_file_is_known_by_what_it_sets(text: str, expected: bool) -> None:
    assert is_guides(text) is expected

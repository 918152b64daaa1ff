"""Settings: invoke.yaml documents all of them, and what is wrong is named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from invoke import Context
from invoke.config import Config
from pydantic import BaseModel

from annexkit.commands.shared import site_of
from annexkit.errors import FindingsError, UsageError
from annexkit.sections import listed, seconds
from annexkit.settings import Settings, load, split_flag

ROOT = Path(__file__).parents[2]
INVOKE_YAML = ROOT / "invoke.yaml"
# Keys that share the comment of the key above them.
SHARED = {("bake", "regions"), ("bake", "image_timeout")}


def keys(model: type[BaseModel], at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from keys(inner, (*at, name))
        else:
            yield (*at, name)


def in_file() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(INVOKE_YAML.read_text())["annexkit"]
    return data


def look_up(tree: Any, key: tuple[str, ...]) -> Any:
    for part in key:
        tree = tree[part] if isinstance(tree, dict) else getattr(tree, part)
    return tree


def findings(config: dict[Any, Any]) -> list[tuple[str, str, str]]:
    with pytest.raises(FindingsError) as caught:
        load(config)
    return [(f.where, f.what, f.mend) for f in caught.value.findings]


@pytest.mark.parametrize("key", list(keys(Settings)), ids=".".join)
def test_invoke_yaml_has_every_key_with_its_default(key: tuple[str, ...]) -> None:
    assert look_up(load(in_file()), key) == look_up(Settings(), key)
    look_up(in_file(), key)  # KeyError: the key is not in the file


def test_invoke_yaml_has_no_key_that_is_none() -> None:
    def leaves(tree: dict[str, Any], at: tuple[str, ...] = ()) -> Iterator[Any]:
        for name, value in tree.items():
            if isinstance(value, dict):
                yield from leaves(value, (*at, name))
            else:
                yield (*at, name)

    assert set(leaves(in_file())) == set(keys(Settings))


@pytest.mark.parametrize("key", list(keys(Settings)), ids=".".join)
def test_invoke_yaml_explains_every_key_where_it_stands(key: tuple[str, ...]) -> None:
    lines = INVOKE_YAML.read_text().splitlines()
    start = 0
    for depth, part in enumerate(key, 1):
        start = next(
            number
            for number, line in enumerate(lines[start:], start)
            if re.match(rf"{' ' * 2 * depth}{part}:", line)
        )
    above = lines[start - 2 if key in SHARED else start - 1].strip()
    assert above.startswith("# ")


def test_invoke_merges_the_file_with_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("INVOKE_ANNEXKIT_BAKE_REGIONS", "us-east-1, eu-west-1")
    monkeypatch.setenv("INVOKE_ANNEXKIT_POLL", "0.2")
    monkeypatch.setenv("INVOKE_ANNEXKIT_REHEARSAL_PORT", "4242")
    monkeypatch.setenv("INVOKE_ANNEXKIT_BAKE_SSH_CIDRS", "192.0.2.0/24")
    config = Config(project_location=ROOT, defaults={})
    config.load_project()
    config.load_shell_env()
    settings = site_of(Context(config)).settings
    assert settings.bake.regions == ("us-east-1", "eu-west-1")
    assert settings.bake.ssh_cidrs == ("192.0.2.0/24",)
    assert (settings.poll, settings.rehearsal.port) == (0.2, 4242)
    assert settings.bake.image == "debian13"


def test_an_unknown_key_is_named_with_the_nearest_known_one() -> None:
    assert findings({"bake": {"regoins": "us-west-2"}}) == [
        (
            "annexkit.bake.regoins",
            "unknown setting 'regoins'",
            "did you mean 'regions'?",
        )
    ]


def test_an_unknown_key_near_nothing_shows_the_known_ones() -> None:
    [(where, _, mend)] = findings({"ssh": {"zzzz": 1}})
    assert (where, mend) == ("annexkit.ssh.zzzz", "known here: interface, timeout")


def test_everything_wrong_is_said_at_once() -> None:
    found = findings({"poll": "soon", "colour": 1, "bake": {"arch": "vax", "x": 1}})
    assert {where for where, *_ in found} == {
        "annexkit.poll",
        "annexkit.colour",
        "annexkit.bake.arch",
        "annexkit.bake.x",
    }
    assert all(mend for *_, mend in found)


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({"bake": {"image": 5}}, "annexkit.bake.image"),
        ({"bake": None}, "annexkit.bake"),
        ({"bake": {"regions": 5}}, "annexkit.bake.regions"),
        ({"bake": {"regions": "us-west"}}, "annexkit.bake.regions.0"),
        ({"bake": {"deadline": "-1"}}, "annexkit.bake.deadline"),
        ({"bake": {"deadline": -1}}, "annexkit.bake.deadline"),
        ({"bake": {"deadline": True}}, "annexkit.bake.deadline"),
        ({"bake": {"name_prefix": "Annex*"}}, "annexkit.bake.name_prefix"),
        ({"packer": {"amazon_plugin": "~> 1"}}, "annexkit.packer.amazon_plugin"),
        ({"rehearsal": {"port": 70000}}, "annexkit.rehearsal.port"),
        ({"rehearsal": {"machines": 0}}, "annexkit.rehearsal.machines"),
        ({5: 5}, "annexkit.5"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(config: dict[Any, Any], where: str) -> None:
    [(found, what, mend)] = findings(config)
    assert found == where
    assert what
    assert mend


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("90s", 90), ("15m", 900), ("2h", 7200), ("7d", 604800), ("1.5h", 5400)],
        *[("0.2", 0.2), (" 30 ", 30), (30, 30), (0.5, 0.5)],
    ],
)
def test_durations_are_read_in_every_documented_form(
    text: object, value: float
) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "soon", "5 minutes", "-1s", "1h30m", True, None])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        seconds(text)


words = st.lists(st.text("abcdefghij-0123456789", min_size=1), max_size=8)


@given(words)
def test_words_with_commas_are_the_same_as_a_list(given_words: list[str]) -> None:
    assert listed(" , ".join(given_words)) == given_words
    assert listed(given_words) == given_words


def test_a_flag_that_is_not_given_takes_the_default() -> None:
    assert split_flag(None, ("a", "b")) == ("a", "b")


def test_a_flag_names_each_word_once_in_its_order() -> None:
    assert split_flag(" b,a ,,b", ("x",)) == ("b", "a")


@pytest.mark.parametrize("value", ["", " ", ",", " , "])
def test_an_empty_flag_is_a_usage_error(value: str) -> None:
    with pytest.raises(UsageError, match="without a word"):
        split_flag(value, ("x",))


def test_folders_follow_the_xdg_specification(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert Settings().state == tmp_path / ".local/state/annexkit"
    assert Settings().cache == tmp_path / ".cache/annexkit"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    assert Settings().state == tmp_path / "elsewhere/annexkit"
    assert Settings(state_dir="~/mine").state == tmp_path / "mine"
    assert Settings(cache_dir="here").cache == Path("here")


@pytest.mark.parametrize("config", [None, "debian13", 5, ["bake"]])
def test_settings_that_are_no_section_are_refused(config: Any) -> None:
    with pytest.raises(UsageError, match="no section") as caught:
        load(config)
    assert caught.value.mend


def test_a_wrong_value_is_shown_with_the_variable_that_may_hold_it() -> None:
    [(where, what, mend)] = findings({"bake": {"regions": "us-east-1, here"}})
    assert where == "annexkit.bake.regions.1"
    assert what == "'here' is not a region: us-west-2"
    assert mend.endswith(" INVOKE_ANNEXKIT_BAKE_REGIONS")


def test_an_address_where_a_name_belongs_is_not_shown() -> None:
    address = "https://hooks.example/very-secret"
    [(where, what, mend)] = findings({"nightly": {"webhook_env": address}})
    assert where == "annexkit.nightly.webhook_env"
    assert what == "an address is not the name of an environment variable"
    assert "secret" not in mend

"""User data: values stay values, markers stay, and nothing else gets in."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from annexkit.errors import UsageError
from annexkit.instances import USER_DATA_BYTES
from annexkit.userdata import annex_json, render

ROOT = Path(__file__).parents[2]
MARKER = "# annexkit: contract=annexkit"
FRESH_BOOT = next(
    path
    for path in sorted((ROOT / "cloud-init").glob("*.yaml"))
    if MARKER in path.read_text()
)
BUILDER = next(
    path for path in sorted((ROOT / "cloud-init").glob("*.yaml")) if path != FRESH_BOOT
)
ANNEX = {"annex": "test", "mode": "one-node", "lease_expires": 1700000000}


def write(folder: Path, text: str) -> Path:
    path = folder / "x.yaml"
    path.write_text(text)
    return path


def fresh_boot(annex: str, keys: list[str], seconds: float = 1800) -> str:
    return render(
        FRESH_BOOT, {"annex": annex, "authorized_keys": keys, "seconds": seconds}
    )


def powers_off_after(data: dict[str, Any]) -> int:
    """Return the seconds of the one boot command, which has to be a power-off timer."""
    [command] = data["bootcmd"]
    words = shlex.split(command) if isinstance(command, str) else command
    assert words[0] == "systemd-run"
    at = words.index("systemctl")
    assert words[at + 1] == "poweroff"
    [after] = [w for w in words[1:at] if w.startswith("--on-active=")]
    return int(after.partition("=")[2])


def test_the_fresh_boot_gets_marker_keys_annex_and_deadline() -> None:
    text = fresh_boot(annex_json(ANNEX), ["ssh-ed25519 AAAA me"])
    assert text.startswith(f"#cloud-config\n{MARKER}\n")
    data = yaml.safe_load(text)
    assert data["ssh_authorized_keys"] == ["ssh-ed25519 AAAA me"]
    [file] = data["write_files"]
    assert file["path"] == "/etc/annexkit/annex.json"
    assert (file["owner"], file["permissions"]) == ("root:root", "0600")
    assert json.loads(file["content"]) == ANNEX | {"version": 1}
    assert powers_off_after(data) == 1800
    assert len(text.encode()) < USER_DATA_BYTES


def test_the_builder_gets_its_deadline_and_no_contract() -> None:
    text = render(BUILDER, {"seconds": 7200})
    assert MARKER not in text
    data = yaml.safe_load(text)
    assert set(data) == {"bootcmd"}
    assert powers_off_after(data) == 7200


def test_comments_other_than_markers_are_not_sent() -> None:
    comments = [
        line for line in fresh_boot("{}", []).splitlines() if line.startswith("#")
    ]
    assert comments == ["#cloud-config", MARKER]


# YAML knows no lone surrogates, and neither does an SSH key or a JSON text of ours.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(texts, st.lists(texts, max_size=3))
def test_no_value_can_become_yaml_of_its_own(annex: str, keys: list[str]) -> None:
    text = fresh_boot(annex, keys)
    data = yaml.safe_load(text)
    assert data["write_files"][0]["content"] == annex
    assert data["ssh_authorized_keys"] == keys
    assert set(data) == {"ssh_authorized_keys", "write_files", "bootcmd"}


@given(st.sampled_from(["\n", "\r", "\r\n", "\x85", "\u2028", "\u2029", "\x0c"]), texts)
def test_no_value_can_bring_a_marker_line(newline: str, rest: str) -> None:
    evil = f"x{newline}# annexkit: contract=seed-cfn{newline}{rest}"
    lines = fresh_boot(evil, [evil]).splitlines()
    assert [line for line in lines if line.startswith("# annexkit")] == [MARKER]


def test_a_value_that_looks_like_a_place_is_not_filled_again(tmp_path: Path) -> None:
    path = write(tmp_path, "#cloud-config\na: '${one}'\nb: x${one}x\n")
    data = yaml.safe_load(render(path, {"one": "${two}", "two": "no"}))
    assert data == {"a": "${two}", "b": "x${two}x"}


def test_a_whole_place_takes_the_type_of_its_value(tmp_path: Path) -> None:
    path = write(tmp_path, "#cloud-config\na: ${one}\nb: n=${one}\nc: [1, true]\n")
    assert yaml.safe_load(render(path, {"one": 5})) == {
        "a": 5,
        "b": "n=5",
        "c": [1, True],
    }


def test_a_place_that_nothing_fills_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "#cloud-config\na: [{b: 'x ${lost}'}]\n")
    with pytest.raises(UsageError) as caught:
        render(path, {"found": 1, "other": 2})
    assert "${lost}" in caught.value.what
    assert caught.value.where == str(path)
    assert caught.value.mend == "known are: found, other"


@pytest.mark.parametrize(
    "text",
    ["", "a: 1\n", "#cloud-config\n", "#cloud-config\n- a\n", "# cloud-config\na: 1\n"],
)
def test_a_file_that_is_no_cloud_config_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="no cloud-config"):
        render(write(tmp_path, text), {})


def test_a_missing_or_broken_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        render(tmp_path / "none.yaml", {})
    with pytest.raises(UsageError, match="cannot be read"):
        render(write(tmp_path, "#cloud-config\na: [1\n"), {})


def test_a_file_that_is_no_text_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"#cloud-config\n\xff\xfe: 1\n")
    with pytest.raises(UsageError, match="cannot be read"):
        render(path, {})

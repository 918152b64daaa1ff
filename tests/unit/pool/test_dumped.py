from __future__ import annotations

from typing import Any

import pytest

from annexkit.pool import dumped
from annexkit.pool.dumped import Setting, matching, read
from annexkit.pool.target import PoolError
from annexkit.process import CommandError, Completed

# The second and the third as 23.9.6 and 25.14.1 print them, but for the odd file name.
SAID = """\
# Configuration from machine: ap.example.org

# Parameters with names that match ANNEX_DEFAULT_ODI_IMAGE_ID:
ANNEX_DEFAULT_ODI_IMAGE_ID =\x20
 # at: <Default>
 # raw:\x20
ap_south_1.ANNEX_DEFAULT_ODI_IMAGE_ID = ami-0bad0bad
 # at: /etc/condor/config.d/99-site, line 15
 # raw: $(MINE)
 # default: $(ap_south_1.ANNEX_DEFAULT_ODI_IMAGE_ID_V8_9_4)
us_west_2.annex_default_odi_image_id = ami-00000000000000001
 # at: /etc/condor/config.d/81, odd-name.config, line 13
 # raw: ami-00000000000000001
 # default: $(us_west_2.ANNEX_DEFAULT_ODI_IMAGE_ID_V8_8_5)
many.ANNEX_DEFAULT_ODI_IMAGE_ID @=end
   x
@end
 # at: /etc/condor/other, line 1
"""


def answer(monkeypatch: pytest.MonkeyPatch, code: int, out: str, err: str) -> list[Any]:
    asked: list[Any] = []

    def run(*args: str, **options: Any) -> Completed:
        asked.append(args)
        return Completed(args, code, out, err)

    monkeypatch.setattr(dumped, "run", run)
    return asked


def test_settings_come_with_their_value_and_where_they_are_set() -> None:
    name = "annex_default_odi_image_id"
    assert read(SAID) == {
        name: Setting("", "<Default>"),
        f"ap_south_1.{name}": Setting(
            "ami-0bad0bad", "/etc/condor/config.d/99-site, line 15"
        ),
        f"us_west_2.{name}": Setting(
            "ami-00000000000000001",
            "/etc/condor/config.d/81, odd-name.config, line 13",
        ),
    }


def test_what_nobody_set_is_htcondors_own() -> None:
    assert Setting("x", "<Default>, item 62").built_in
    assert not Setting("x", "<Environment>").built_in
    assert not Setting("x").built_in


@pytest.mark.parametrize(
    ("source", "file"),
    [
        ("/etc/condor/a, b.config, line 6", "/etc/condor/a, b.config"),
        ("<Environment>", ""),
        ("<Default>, item 62", ""),
        ("", ""),
    ],
)
def test_the_file_is_where_it_was_set(source: str, file: str) -> None:
    assert Setting("x", source).file == file


def test_one_call_asks_for_all_names_that_match(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = answer(monkeypatch, 0, SAID, "")
    assert len(matching("ODI_IMAGE")) == 3
    assert asked == [("condor_config_val", "-dump", "-expand", "-verbose", "ODI_IMAGE")]


def test_a_broken_configuration_is_an_error_for_people(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer(monkeypatch, 1, "", "Configuration Error Line 3\n")
    with pytest.raises(PoolError, match="Configuration Error Line 3") as caught:
        matching("X")
    assert "condor_config_val -summary" in caught.value.mend


def test_without_the_program_it_is_an_error_for_people(
    real_processes: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandError, match="not installed"):
        matching("X")

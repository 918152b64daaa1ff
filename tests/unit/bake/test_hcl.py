from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import hcl2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexkit.bake import hcl
from annexkit.errors import UsageError
from tests.unit.bake.samples import strings


def read(tmp_path: Path, text: str) -> hcl.Assignments:
    path = tmp_path / "x.pkrvars.hcl"
    path.write_text(text, encoding="utf-8")
    return hcl.read(path)


class TestQuoted:
    @pytest.mark.parametrize(
        ("text", "source"),
        [
            ("plain", '"plain"'),
            ('say "x"', r'"say \"x\""'),
            ("a\\b", r'"a\\b"'),
            ("a\nb\r\tc", r'"a\nb\r\tc"'),
            ("${x} %{y}", r'"\u0024{x} \u0025{y}"'),
            ("$${x}", r'"$\u0024{x}"'),
            ("$5 and 100%", '"$5 and 100%"'),
            ("\x07\x7f\u2028", r'"\u0007\u007f\u2028"'),
            ("日本 🎉", '"日本 🎉"'),
        ],
    )
    def test_writes_every_character_as_itself(self, text: str, source: str) -> None:
        assert hcl.quoted(text) == source

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("a {{ b", "template engine"),
            ("a\0b", "NUL"),
            ("\udfff", "surrogate"),
            ("e\u0301", "normal form"),
        ],
    )
    def test_refuses_what_packer_would_change_and_says_why(
        self, text: str, why: str
    ) -> None:
        with pytest.raises(hcl.UnwritableText, match=why) as caught:
            hcl.quoted(text, what="tag 'x'")
        assert caught.value.what.startswith("tag 'x' ")
        assert caught.value.mend

    @given(st.text())
    def test_what_is_written_is_read_back_the_same(
        self, tmp_path_factory: pytest.TempPathFactory, text: str
    ) -> None:
        text = unicodedata.normalize("NFC", text)
        if hcl.unwritable(text):
            return
        document = hcl2.Builder({"a": hcl.quoted(text)})
        read_back = read(tmp_path_factory.mktemp("hcl"), hcl.dump(document))
        assert read_back.values == {"a": text}
        assert not read_back.findings

    def test_strings_made_to_trip_it_are_read_back_the_same(
        self, tmp_path: Path
    ) -> None:
        texts = [text for text in strings(1000) if not hcl.unwritable(text)]
        document = hcl2.Builder({"a": [hcl.quoted(text) for text in texts]})
        assert read(tmp_path, hcl.dump(document)).values["a"] == tuple(texts)
        assert len(texts) > 900


class TestJoined:
    def test_interpolates_expressions_and_nothing_else(self) -> None:
        region = hcl.Expression("var.region")
        assert hcl.joined("A=${x}", region) == r'"A=\u0024{x}${var.region}"'

    def test_refuses_a_literal_that_packer_would_change(self) -> None:
        with pytest.raises(hcl.UnwritableText):
            hcl.joined("A=", "{{ .Vars }}")


def test_a_template_meant_for_the_engine_keeps_its_braces() -> None:
    assert hcl.engine('{{ .Vars }} "${x}"') == r'"{{ .Vars }} \"\u0024{x}\""'


def test_a_dumped_document_has_no_trailing_blanks_or_runs_of_empty_lines() -> None:
    document = hcl2.Builder()
    for name in ("a", "b"):
        document.block("variable", [hcl.quoted(name)], type="string")
    lines = hcl.dump(document).split("\n")
    assert lines == [line.rstrip() for line in lines]
    assert "\n\n\n" not in hcl.dump(document)


class TestRead:
    def test_knows_plain_values_and_their_lines(self, tmp_path: Path) -> None:
        read_back = read(
            tmp_path,
            '# comment\nname = "x" # why\nlist = [\n  "a",\n  2,\n]\n'
            'map = {\n  key = true\n  "b c" = { d = 1.5 }\n}\nnone = null\n',
        )
        assert read_back.values == {
            "name": "x",
            "list": ("a", 2),
            "map": {"key": True, "b c": {"d": 1.5}},
            "none": None,
        }
        assert read_back.lines[("list", 1)] == 5
        assert read_back.lines[("map", "b c", "d")] == 9
        assert read_back.where(("map", "other")) == f"{read_back.path}:7"

    def test_resolves_escapes_as_hcl_does(self, tmp_path: Path) -> None:
        text = r'a = "\"\\n\n\u0041 $${x} %%{y}"' + "\n"
        assert read(tmp_path, text).values["a"] == '"\\n\nA ${x} %{y}'

    @pytest.mark.parametrize(
        "source",
        ["var.x", '"a ${b}"', "1 + 2", 'upper("x")', "<<-EOT\n  x\nEOT", "-1"],
    )
    def test_says_where_a_value_is_no_plain_one(
        self, tmp_path: Path, source: str
    ) -> None:
        found = read(tmp_path, f"ok = 1\n\nbad = {source}\n").findings
        assert [f.what for f in found] == ["'bad' is an expression"]
        assert found[0].where.endswith(":3")

    def test_names_both_lines_of_a_key_set_twice(self, tmp_path: Path) -> None:
        (found,) = read(tmp_path, "a = 1\nb = { c = 1 }\na = 2\n").findings
        assert "set twice, first on line 1" in found.what
        assert found.where.endswith(":3")

    def test_says_how_to_write_a_block(self, tmp_path: Path) -> None:
        (found,) = read(tmp_path, 'x "y" {\n  z = 1\n}\n').findings
        assert found.mend == "write x = { … }"

    @pytest.mark.parametrize(
        ("text", "line"), [("a = 1\nb = [1,,2]\n", 2), ('a = "x\n', 1), ("}\n", 1)]
    )
    def test_a_syntax_error_names_file_and_line(
        self, tmp_path: Path, text: str, line: int
    ) -> None:
        with pytest.raises(UsageError, match="not valid HCL") as caught:
            read(tmp_path, text)
        assert caught.value.where.endswith(f"x.pkrvars.hcl:{line}")

    def test_a_missing_file_and_wrong_bytes_are_errors_of_the_user(
        self, tmp_path: Path
    ) -> None:
        with pytest.raises(UsageError, match="No such file"):
            hcl.read(tmp_path / "none.hcl")
        (tmp_path / "latin1.hcl").write_bytes(b'a = "\xe9"\n')
        with pytest.raises(UsageError, match="UTF-8"):
            hcl.read(tmp_path / "latin1.hcl")


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=40))
def test_reading_any_text_gives_values_or_an_error_of_the_user(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.mktemp("any") / "x.hcl"
    path.write_bytes(text.encode(errors="surrogatepass"))
    result: Any = None
    try:
        result = hcl.read(path)
    except UsageError as error:
        assert str(path) in error.where
    else:
        assert isinstance(result.values, dict)

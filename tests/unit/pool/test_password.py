from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexkit.errors import UsageError
from annexkit.pool import password

# What condor_store_cred of 23.9.6 and of 25.14.1 wrote for this password.
SEEN = bytes.fromhex("b6c8d283b18dce80b1c19e9fbfdecd98b1dfdacfea9f")
TEXT = "hello pool password 42"
PRINTABLE = st.text(
    st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=255
)


def write(folder: Path, data: bytes, mode: int = 0o600) -> Path:
    path = folder / "pool_password"
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_it_is_scrambled_as_condor_store_cred_does_it() -> None:
    assert password.scrambled(TEXT) == SEEN
    assert password.unscrambled(SEEN) == TEXT


@given(PRINTABLE)
def test_scrambled_text_is_never_taken_for_plain_text(text: str) -> None:
    data = password.scrambled(text)
    assert password.unscrambled(data) == text
    assert not password.is_plain(data)
    assert password.is_plain(text.encode())


@pytest.mark.parametrize(
    "data",
    [
        SEEN,
        TEXT.encode(),
        TEXT.encode() + b"\n",
        # HTCondor 8 filled its files up with zeros before it scrambled them.
        bytes(
            a ^ b
            for a, b in zip(
                TEXT.encode().ljust(256, b"\0"), password.MASK * 64, strict=True
            )
        ),
    ],
    ids=["scrambled", "plain", "with-newline", "filled-up"],
)
def test_every_form_of_the_file_gives_the_password(tmp_path: Path, data: bytes) -> None:
    assert password.read_file(write(tmp_path, data)) == TEXT


@pytest.mark.parametrize(
    ("data", "mode", "says"),
    [
        (SEEN, 0o640, "mode 0640"),
        (SEEN, 0o604, "mode 0604"),
        (b"", 0o600, "no pool password that annexkit can read"),
        (b"\xff" * 8, 0o600, "no pool password that annexkit can read"),
    ],
)
def test_a_file_that_is_of_no_use_is_refused(
    tmp_path: Path, data: bytes, mode: int, says: str
) -> None:
    with pytest.raises(UsageError, match=says) as error:
        password.read_file(write(tmp_path, data, mode))
    assert TEXT not in str(error.value)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no pool password"):
        password.read_file(tmp_path / "none")
    with pytest.raises(UsageError, match="cannot be read"):
        password.read_file(tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("short", "shorter than 12"),
        ("x" * 256, "longer than 255"),
        ("a long one\nof two lines", "more than one line"),
        ("a long one\rof two lines", "more than one line"),
        ("a long\0one with a zero", "zero byte"),
        ("ein längeres Passwort", "no plain ASCII"),
    ],
)
def test_what_htcondor_could_not_use_is_named(text: str, says: str) -> None:
    assert says in password.problem(text)


def test_a_usable_password_has_no_problem() -> None:
    assert password.problem("x" * 255) == password.problem("x" * 12) == ""

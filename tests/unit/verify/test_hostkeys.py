from __future__ import annotations

import shlex
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexkit.ssh import HostKey, new_key
from annexkit.verify.hostkeys import (
    BEGIN,
    END,
    KnownHosts,
    KnownHostsError,
    by_hand,
    parse_console,
)
from tests.unit.ssh.keys import host_key

ED, RSA, ECDSA = host_key(), host_key("rsa"), host_key("ecdsa")
OTHER = HostKey.of(new_key().pkey, "console output")
NOISE = "[   12.345678] random: crng init done"


def block(*keys: HostKey, begin: str = BEGIN, end: str = END) -> str:
    lines = [begin, *(f"{k.line} root@ip-172-31-0-9" for k in keys), end]
    return "\n".join(line for line in lines if line) + "\n"


def test_the_keys_between_the_markers_are_read_ed25519_first() -> None:
    assert parse_console(block(ECDSA, ED, RSA)) == [ED, ECDSA, RSA]


def test_without_a_block_there_is_no_key() -> None:
    assert parse_console("") == []
    assert parse_console(f"{NOISE}\n{ED.line}\nlogin: ") == []


def test_prefixes_carriage_returns_and_colours_do_not_matter() -> None:
    prefix = "[   12.345678] cloud-init[412]: "
    text = "".join(
        f"\x1b[0m{prefix}{line}\x1b[0m\r\n" for line in block(ED, RSA).splitlines()
    )
    assert parse_console(text) == [ED, RSA]


def test_other_lines_within_the_block_do_not_matter() -> None:
    text = block(ED, RSA).replace("\n", f"\n{NOISE}\n         Starting ssh.service\n")
    assert parse_console(text) == [ED, RSA]


def test_a_key_that_the_kernel_wrote_into_is_left_out() -> None:
    broken = f"{ED.line[:40]}{NOISE}\n{ED.line[40:]}"
    text = block(ED, RSA).replace(ED.line, broken)
    assert parse_console(text) == [RSA]


def test_the_last_complete_block_wins() -> None:
    assert parse_console(block(ED) + NOISE + "\n" + block(OTHER)) == [OTHER]


def test_a_block_that_is_still_being_written_does_not_count() -> None:
    assert parse_console(block(OTHER, end="")) == []
    assert parse_console(block(ED) + block(OTHER, end="")) == [ED]


def test_a_block_whose_beginning_was_cut_off_does_not_count() -> None:
    assert parse_console(block(OTHER, begin="")) == []
    text = block(RSA) + "x" * 70_000 + block(ED)
    assert parse_console(text[-65_536:]) == [ED]


def test_a_block_without_a_whole_key_leaves_the_one_before() -> None:
    assert parse_console(block(ED) + block(OTHER).replace("AAAA", "A.A")) == [ED]


def test_fingerprints_and_public_keys_of_users_are_no_host_keys() -> None:
    text = (
        "-----BEGIN SSH HOST KEY FINGERPRINTS-----\n256 SHA256:abc root (ED25519)\n"
        f"-----END SSH HOST KEY FINGERPRINTS-----\nci-info: {OTHER.line}\n"
    )
    assert parse_console(text + block(ED)) == [ED]


noise = st.lists(
    st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\n"), max_size=50)
)


@given(before=noise, within=noise, after=noise)
def test_noise_around_and_between_never_changes_the_keys(
    before: list[str], within: list[str], after: list[str]
) -> None:
    inner = [ED.line, *within, RSA.line]
    text = "\n".join([*before, BEGIN, *inner, END, *after])
    assert parse_console(text) == [ED, RSA]


@given(st.data())
def test_a_console_cut_anywhere_gives_right_keys_or_none(data: st.DataObject) -> None:
    text = block(ED, RSA) + NOISE + "\n" + block(ED, RSA)
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, len(text)))
    assert parse_console(text[start:stop]) in ([ED, RSA], [])


@given(st.integers(0, 1500), st.sampled_from("[<\n\r \x1b"), st.text(max_size=30))
def test_a_line_that_breaks_in_anywhere_never_makes_a_wrong_key(
    at: int, first: str, rest: str
) -> None:
    """What breaks in begins as the kernel's, systemd's and syslog's lines do."""
    text = block(ED, RSA)
    at = min(at, len(text))
    found = parse_console(f"{text[:at]}{first}{rest}{text[at:]}")
    assert set(found) <= {ED, RSA}


@pytest.fixture
def known(tmp_path: Path) -> KnownHosts:
    return KnownHosts(tmp_path / "annexes" / "a1" / "known_hosts")


def test_keys_are_kept_by_instance_id(known: KnownHosts) -> None:
    assert known.read() == {}
    known.pin({"i-1": [ED, RSA], "i-2": [OTHER]})
    known.pin({"i-1": [ED]})
    assert {k: [x.line for x in v] for k, v in known.read().items()} == {
        "i-1": [ED.line],
        "i-2": [OTHER.line],
    }


def test_only_the_owner_may_read_the_file(known: KnownHosts) -> None:
    known.pin({"i-1": [ED]})
    assert stat.S_IMODE(known.path.stat().st_mode) == 0o600


def test_parallel_writers_lose_nothing(known: KnownHosts) -> None:
    threads = [
        threading.Thread(target=known.pin, args=({f"i-{n}": [ED]},)) for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(known.read()) == 20


def test_a_damaged_file_is_named_with_its_line(known: KnownHosts) -> None:
    known.pin({"i-1": [ED]})
    known.path.write_text(known.path.read_text() + "i-2 nonsense\n")
    with pytest.raises(KnownHostsError) as caught:
        known.read()
    assert caught.value.where == f"{known.path}:2"


@pytest.mark.parametrize("name", ["", "i 1", "i-1\ni-2", "*"])
def test_a_name_that_would_match_more_is_refused(known: KnownHosts, name: str) -> None:
    with pytest.raises(KnownHostsError):
        known.pin({name: [ED]})
    assert not known.path.exists()


def test_by_hand_pins_the_same_keys(known: KnownHosts, tmp_path: Path) -> None:
    key = tmp_path / "a key"
    command = by_hand("i-1", "admin", "192.0.2.1", key=key, known=known)
    words = shlex.split(command)
    assert words[:3] == ["ssh", "-i", str(key)]
    assert f"UserKnownHostsFile={known.path}" in words
    assert "HostKeyAlias=i-1" in words
    assert "StrictHostKeyChecking=yes" in words
    assert words[-1] == "admin@192.0.2.1"

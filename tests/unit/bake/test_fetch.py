from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from annexkit.bake import fetch
from annexkit.bake.fetch import Cache, FetchError, fetch_text, redacted
from tests.unit.bake.repo import Served, serve


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "a").write_text("first")
    with serve(tmp_path / "www") as served:
        yield served


def test_an_unchanged_file_is_not_sent_again(server: Served, cache: Cache) -> None:
    texts = [fetch_text(server.uri + "a", cache, limit=100) for _ in range(3)]
    assert texts == ["first"] * 3
    assert server.asked == [("/a", 200), ("/a", 304), ("/a", 304)]


def test_a_changed_file_is(server: Served, cache: Cache, tmp_path: Path) -> None:
    fetch_text(server.uri + "a", cache, limit=100)
    (tmp_path / "www" / "a").write_text("second")
    assert fetch_text(server.uri + "a", cache, limit=100) == "second"
    assert fetch_text(server.uri + "a", cache, limit=100) == "second"
    assert [code for _, code in server.asked] == [200, 200, 304]


def test_a_broken_cache_is_no_cache(server: Served, cache: Cache) -> None:
    fetch_text(server.uri + "a", cache, limit=100)
    for text in ("", "[]", '{"key": "other", "text": "wrong"}', "\x00"):
        for path in cache.folder.iterdir():
            path.write_text(text)
        assert fetch_text(server.uri + "a", cache, limit=100) == "first"


def test_a_cache_that_cannot_be_written_is_done_without(
    server: Served, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    cache = Cache(tmp_path / "file" / "below")
    assert fetch_text(server.uri + "a", cache, limit=100) == "first"


def test_large_values_are_kept_packed(tmp_path: Path) -> None:
    packed = Cache(tmp_path, packed=True)
    packed.put("list", {"names": ["package"] * 10_000})
    assert packed.get("list")["names"] == ["package"] * 10_000
    assert packed.get("other") == Cache(tmp_path).get("list") == {}
    [path] = tmp_path.iterdir()
    whole = path.read_bytes()
    assert len(whole) < 1000
    for broken in (b"", whole[:-9], whole[:50], b"\x1f\x8bnone", b"{}"):
        path.write_bytes(broken)
        assert packed.get("list") == {}


def test_files_are_read_by_their_file_address(tmp_path: Path, cache: Cache) -> None:
    (tmp_path / "x").write_text("text")
    assert fetch_text(f"file:{tmp_path}/x", cache, limit=100) == "text"
    with pytest.raises(FetchError) as caught:
        fetch_text(f"file:{tmp_path}/none", cache, limit=100)
    assert caught.value.missing


@pytest.mark.parametrize(("code", "missing"), [(404, True), (500, False), (403, False)])
def test_a_refusal_tells_missing_from_failed(
    server: Served, cache: Cache, code: int, missing: bool
) -> None:
    server.answer = code
    with pytest.raises(FetchError, match=f"HTTP {code}") as caught:
        fetch_text(server.uri + "a", cache, limit=100)
    assert caught.value.missing is missing


def test_more_than_the_limit_is_refused(server: Served, cache: Cache) -> None:
    with pytest.raises(FetchError, match="larger than 4 bytes"):
        fetch_text(server.uri + "a", cache, limit=4)


def test_a_password_is_sent_and_never_shown(server: Served, cache: Cache) -> None:
    url = server.uri.replace("//", "//alice:s%23cret@")
    assert fetch_text(url + "a", cache, limit=100) == "first"
    assert server.authorization == ["Basic YWxpY2U6cyNjcmV0"]
    with pytest.raises(FetchError) as caught:
        fetch_text(url + "none", cache, limit=100)
    kept = "".join(path.read_text() for path in cache.folder.iterdir())
    assert "cret" not in str(caught.value) + kept
    assert redacted(url) == server.uri


def test_nobody_there_is_said_so(cache: Cache) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/a"
        with pytest.raises(FetchError, match="Connection refused") as caught:
            fetch_text(url, cache, limit=100)
    assert not caught.value.missing


HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"


@pytest.mark.parametrize(
    ("said", "stays", "expected"),
    [
        (b"", True, "timed out"),
        (HALF, True, "timed out"),
        (HALF, False, "broke off after 1 of 9 bytes"),
        (b"", False, "closed connection"),
        (b"SSH-2.0-x\r\n", False, "SSH-2.0-x"),
    ],
)
def test_silence_and_half_an_answer_end_in_an_error(
    cache: Cache,
    monkeypatch: pytest.MonkeyPatch,
    said: bytes,
    stays: bool,
    expected: str,
) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT", 0.2)
    over = threading.Event()

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(said)
            over.wait(10 if stays else 0)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/a"
        with pytest.raises(FetchError, match=expected):
            fetch_text(url, cache, limit=100)
        over.set()
        thread.join()
    assert not cache.folder.exists()


def test_an_address_that_is_none_is_an_error_not_a_crash(cache: Cache) -> None:
    for url in ("http://[::1", "http://a b/", "gopher://x/", "file:", "http://"):
        with pytest.raises(FetchError):
            fetch_text(url, cache, limit=100)

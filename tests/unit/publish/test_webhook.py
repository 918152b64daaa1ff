from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from annexkit.errors import AnnexkitError, UsageError
from annexkit.publish import webhook
from annexkit.publish.night import Night
from annexkit.publish.webhook import NotifyError, message, notify, tell, wanted
from annexkit.sections import NightlySettings
from tests.unit.helpers import FakeClock
from tests.unit.publish import hostile, nights
from tests.unit.publish.hooks import SECRET, Hook, hook

__all__ = ["hook"]

PAGE = "https://ci.example/night.html"


def sent(hook: Hook) -> dict[str, Any]:
    [(command, path, body)] = hook.got
    assert (command, path) == ("POST", f"/services/{SECRET}")
    data: dict[str, Any] = json.loads(body)
    return data


def refused(act: Callable[[], object], kind: type[AnnexkitError]) -> AnnexkitError:
    """Return the error of *act*; neither it nor what led to it has the secret."""
    with pytest.raises(kind) as caught:
        act()
    one: BaseException | None = caught.value
    while one is not None:
        assert "secret" not in f"{one} {one!r}"
        assert "T0AA" not in f"{one} {one!r}"
        one = one.__cause__ or one.__context__
    return caught.value


def test_the_hook_gets_one_small_json_document(hook: Hook, clock: FakeClock) -> None:
    notify(hook.url, nights.red(), PAGE, clock=clock)
    data = sent(hook)
    assert hook.headers["Content-Type"] == "application/json"
    assert set(data) == {"text", "annexkit"}
    lines = data["text"].splitlines()
    assert lines[0].startswith("*Failed*: debian13 x86_64 (copy in ap-south-1, ")
    assert lines[1] == "To do: invoke doctor"
    assert len(lines) == 5
    assert lines[-1] == PAGE
    assert data["annexkit"]["verdict"] == "failed"
    assert data["annexkit"]["counts"] == {"images": 3, "failures": 5, "retired": 2}
    assert data["annexkit"]["images"][0] == {
        "image": "debian13",
        "arch": "x86_64",
        "state": "failed",
        "build": nights.NEW,
        "before": nights.OLD,
        "regions": 16,
        "finished_in": 13,
    }
    assert clock.slept == 0


def test_the_document_is_small_whatever_the_night_holds() -> None:
    night = hostile.night("x" * 5000)
    night.images *= 300
    assert len(json.dumps(message(night, PAGE))) < 40_000


@pytest.mark.parametrize(
    "trick", ["<!channel>", "<https://evil.example|page>", "a&lt;"]
)
def test_nobody_is_called_by_what_others_wrote(trick: str) -> None:
    text = message(hostile.night(f"{trick} @here"), "")["text"]
    assert "<" not in text
    assert ">" not in text
    assert "@here" not in text
    assert "&amp;lt;" in text or "&lt;" in text


@pytest.mark.parametrize("code", webhook.LATER)
def test_what_may_pass_is_tried_once_more(
    hook: Hook, clock: FakeClock, code: int
) -> None:
    hook.answers = [code]
    notify(hook.url, nights.red(), PAGE, clock=clock)
    assert len(hook.got) == 2
    assert hook.got[0] == hook.got[1]
    assert clock.slept == webhook.PAUSE


def test_after_two_tries_it_is_an_error_for_people(
    hook: Hook, clock: FakeClock
) -> None:
    hook.answers = [503, 503, 503]
    send = lambda: notify(hook.url, nights.red(), PAGE, where="MY_HOOK", clock=clock)  # noqa: E731
    error = refused(send, NotifyError)
    assert len(hook.got) == 2
    assert error.what == (
        "the webhook did not take the message: HTTP 503 Service Unavailable"
    )
    assert error.where == "MY_HOOK"
    assert "nightly.notify: never" in error.mend


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308, 400, 403, 404, 410])
def test_what_will_not_pass_is_not_tried_again_nor_sent_elsewhere(
    hook: Hook, clock: FakeClock, code: int
) -> None:
    hook.answers = [code]
    send = lambda: notify(hook.url, nights.red(), PAGE, clock=clock)  # noqa: E731
    assert f"HTTP {code}" in refused(send, NotifyError).what
    assert len(hook.got) == 1
    assert clock.slept == 0


def test_silence_ends_in_time(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/{SECRET}"
        error = refused(lambda: notify(url, nights.red(), "", clock=clock), NotifyError)
    assert "no answer within 0.1 s" in error.what
    assert clock.slept == webhook.PAUSE


def test_nobody_there_is_said_so(clock: FakeClock) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/{SECRET}"
        error = refused(lambda: notify(url, nights.red(), "", clock=clock), NotifyError)
    assert "Connection refused" in error.what


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("very-secret", "no web address"),
        ("", "no web address"),
        ("https://", "no web address"),
        ("https://[very-secret", "no web address"),
        ("https://hooks.example:very-secret/x", "no web address"),
        ("https://hooks.example/a b/very-secret", "no web address"),
        ("https://hooks.example/very-secret\n", "no web address"),
        ("https://me:very-secret@hooks.example/x", "a user name"),
        ("http://hooks.example/very-secret", "begins with http://, not https://"),
        ("file:///etc/very-secret", "no web address"),
        ("ftp://hooks.example/very-secret", "begins with ftp://"),
    ],
)
def test_what_no_secret_may_be_sent_to_is_refused_without_a_call(
    url: str, what: str
) -> None:
    error = refused(lambda: notify(url, nights.red(), ""), UsageError)
    assert what in error.what
    assert error.where == "ANNEXKIT_WEBHOOK"
    assert error.mend == "export ANNEXKIT_WEBHOOK=https://…"


QUIET, BUSY, RED = nights.quiet(), nights.busy(), nights.red()
STOPPED = nights.a_night(nights.unchanged("debian13"), ended=None)


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ("always", [QUIET, BUSY, RED, STOPPED]),
        ("changes", [BUSY, RED, STOPPED]),
        ("red", [RED, STOPPED]),
        ("never", []),
    ],
)
def test_the_settings_say_which_nights_are_told(choice: str, told: list[Night]) -> None:
    settings = NightlySettings.model_validate({"notify": choice})
    every = [QUIET, BUSY, RED, STOPPED]
    assert [night for night in every if wanted(settings, night)] == told
    looks = [night.model_copy(update={"dry_run": True}) for night in every]
    assert not any(wanted(settings, look) for look in looks)


def test_the_address_is_read_from_the_named_variable(
    hook: Hook, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = NightlySettings(webhook_env="MY_HOOK")
    monkeypatch.delenv("MY_HOOK", raising=False)
    assert tell(settings, BUSY, clock=clock) == "nobody is told: MY_HOOK is not set"
    monkeypatch.setenv("MY_HOOK", f" {hook.url}\n")
    assert tell(settings, QUIET, clock=clock) == (
        "nobody is told (nightly.notify: changes)"
    )
    assert hook.got == []
    assert tell(settings, BUSY, PAGE, clock=clock) == "the webhook of MY_HOOK was told"
    assert sent(hook)["annexkit"]["page"] == PAGE
    monkeypatch.setenv("MY_HOOK", "very-secret")
    error = refused(lambda: tell(settings, BUSY, clock=clock), UsageError)
    assert error.where == "MY_HOOK"

"""Telling a chat of the night: one small JSON document to one secret address.

``text`` is what hooks of Slack, Mattermost and Matrix (hookshot) show; ``annexkit`` is
the same for programs.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from annexkit.errors import AnnexkitError, UsageError
from annexkit.publish import page
from annexkit.publish.night import Night
from annexkit.publish.page import RED, Verdict
from annexkit.publish.page_headline import headline
from annexkit.publish.page_words import WHOLE, plain
from annexkit.sections import NightlySettings
from annexkit.waiting import Clock, SystemClock

TIMEOUT = 10.0  # seconds without a byte
PAUSE = 5.0  # seconds before the one retry
LATER = (408, 425, 429, 500, 502, 503, 504)  # what may be taken a little later
MOST = 20  # of a kind in the document
WHERE = "ANNEXKIT_WEBHOOK"


class NotifyError(AnnexkitError):
    """The webhook did not take the message; its address is never part of the error."""


def tell(
    settings: NightlySettings,
    night: Night,
    page_url: str = "",
    *,
    clock: Clock | None = None,
) -> str:
    """Tell the webhook of a night, if the settings want it; return what came of it.

    :param page_url: where the page can be read, or nothing.
    :raises UsageError: the variable holds no address.
    :raises NotifyError: it was sent and not taken.
    """
    name = settings.webhook_env
    url = os.environ.get(name, "").strip()
    if not wanted(settings, night):
        return f"nobody is told (nightly.notify: {settings.notify})"
    if not url:
        return f"nobody is told: {name} is not set"
    notify(url, night, page_url, where=name, clock=clock)
    return f"the webhook of {name} was told"


def wanted(settings: NightlySettings, night: Night) -> bool:
    """Whether the settings want somebody to be told of a night; of a look never."""
    if settings.notify == "never" or night.dry_run:
        return False
    found = page.verdict(night)
    if settings.notify == "always":
        return True
    return found in RED or (settings.notify == "changes" and found is Verdict.CHANGED)


def notify(
    url: str,
    night: Night,
    page_url: str,
    *,
    where: str = WHERE,
    clock: Clock | None = None,
) -> None:
    """Send a night's summary; once more after a pause where that may help.

    When an answer is lost, the message may come twice.

    :param where: the variable that holds the address, for errors: it is a secret.
    :raises UsageError: the address is none, or would show the secret on the network.
    :raises NotifyError: nobody there, or refused.
    """
    checked(url, where)
    body = json.dumps(message(night, page_url)).encode("ascii")
    clock = clock or SystemClock()
    error, later = _post(url, body)
    if error and later:
        clock.sleep(PAUSE)
        error, _ = _post(url, body)
    if error:
        raise NotifyError(
            f"the webhook did not take the message: {error}",
            where=where,
            mend=f"correct the address in {where}, or set nightly.notify: never",
        )


def message(night: Night, page_url: str) -> dict[str, Any]:
    """Return the document: ``text`` for people, ``annexkit`` for programs."""
    said = headline(night)
    lines = [f"*{said.word}*: {_safe(said.rest, 1500)}"]
    actions = page.actions(night)
    lines += [f"To do: {_safe(one.mend, 300)}" for one in actions[:3]]
    if page_url:
        lines.append(page_url)
    return {"text": "\n".join(lines), "annexkit": _summary(night, page_url)}


def checked(url: str, where: str) -> None:
    """Refuse what is no address that a secret may be sent to.

    :raises UsageError: it is none; the message does not say what it is.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or not re.fullmatch(r"[!-~]+", url):
        what = "what the variable holds is no web address"
    elif "@" in parts.netloc:
        what = "the address holds a user name, which webhooks do not take"
    elif parts.scheme == "https" or (parts.scheme == "http" and _here(host)):
        return
    else:
        what = f"the address begins with {plain(parts.scheme, 20)}://, not https://"
    raise UsageError(what, where=where, mend=f"export {where}=https://…")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET, and tell another host of it."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Refuse it, so that the answer is an error."""


def _post(url: str, body: bytes) -> tuple[str, bool]:
    """Return what went wrong, if anything, and whether a retry may help."""
    headers = {"Content-Type": "application/json", "User-Agent": "annexkit"}
    # https, or http to this machine: checked().
    asked = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310
    opener = urllib.request.build_opener(_NoRedirect())
    try:
        with opener.open(asked, timeout=TIMEOUT):
            return "", False
    except urllib.error.HTTPError as error:
        error.close()
        phrase = http.client.responses.get(error.code, "")
        return f"HTTP {error.code} {phrase}".strip(), error.code in LATER
    except urllib.error.URLError as error:
        # The reason is of the system or of TLS, and never has the path.
        return _reason(error.reason), True
    except http.client.InvalidURL:  # its text is a part of the address
        return "the address is none", False
    except (OSError, http.client.HTTPException) as error:
        return _reason(error), True


def _reason(error: object) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT:g} s"
    return plain(str(error), 200) or type(error).__name__


def _here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _safe(text: str, most: int) -> str:
    """Return text that calls nobody: ``<!channel>``, ``@here`` are plain letters.

    What Slack asks to be escaped, the others read as HTML does.
    """
    said = plain(text, most).replace("&", "&amp;")
    said = said.replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"@(?=\w)", "@\u200b", said)


def _summary(night: Night, page_url: str) -> dict[str, Any]:
    failures = list(page.failures(night))
    return {
        "night": plain(night.id, 100),
        "verdict": str(page.verdict(night)),
        "headline": plain(str(headline(night))),
        "page": page_url,
        "images": [
            {
                "image": plain(image.image, 100),
                "arch": plain(image.arch, 20),
                "state": str(page.state_of(image)),
                "build": plain(image.build, 40),
                "before": plain(image.before, 40),
                "regions": len(image.regions),
                "finished_in": len(page.finished_in(image)),
            }
            for image in night.images[:MOST]
        ],
        "failures": [
            {"where": plain(one.where, 200), "error": plain(one.error, 300)}
            for one in failures[:MOST]
        ],
        "counts": {
            "images": len(night.images),
            "failures": len(failures),
            "retired": len(page.taken(night)),
        },
        "do": [plain(one.mend, WHOLE) for one in page.actions(night)[:MOST]],
        "cost": round(page.tonight(night), 4),
    }

"""Nights whose every text was written by somebody who means no good."""

from __future__ import annotations

from hypothesis import strategies as st

from annexkit.publish.night import (
    BootNight,
    ImageNight,
    Night,
    PackageNight,
    RegionNight,
    RetiredNight,
)
from tests.unit.publish import nights

TRICKS = (
    "<script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    "'\"><svg/onload=alert(1)>",
    "</code></pre></table>|a|b|",
    "`a` ``b`` ```",
    "```\n# no code any more",
    "| a | b |\n|---|---|\n| c | d |",
    "a\\|b\\\\|c",
    "![x](https://evil.example/x.png) [y](javascript:alert(1))",
    "@everyone #1 GH-2 :+1: https://evil.example www.evil.example a@b.example",
    "&lt;b&gt; &#60;script&#62;",
    "**bold** __bold__ ~~gone~~ $x^2$ <!channel>",
    "# heading",
    "1. list",
    "- [ ] list",
    "-->]]><!--",
    "\x00\x1b[31m\u202egnp.exe\ud800\ufeff\u200b",
    "<details open><summary>x",
    "_",
    "===",
)


def night(text: str, *, failed: bool = True) -> Night:
    """Return a night that has *text* wherever a record takes text."""
    step = nights.failed(text, text) if failed else nights.done(1, 0.1, text)
    there = RegionNight(ami=text, copied=step, smoke=step, promote=step)
    package = PackageNight(name=text, old=text, new=text)
    image = ImageNight(
        image=text,
        arch=text,
        changed=True,
        why=[text, text],
        digest=text,
        pending=[package],
        unchecked=text,
        build=text,
        before=f"{text}!",
        home=text,
        bake=step,
        boot=step,
        regions={text: there, f"{text}2": there},
        packages=[package] * 10,
        boots=[BootNight(build=text, region=text, created=nights.BEGAN, seconds=1)],
    )
    line = RetiredNight(
        **dict.fromkeys(("step", "image", "arch", "region", "build", "ami"), text),
        reason=text,
        error=text if failed else "",
    )
    return nights.a_night(
        image, id=text, account=text, endpoint=text, retired=[line], retire=step
    )


def texts() -> st.SearchStrategy[str]:
    """Return tricks, put together, with anything between them."""
    parts = st.sampled_from(TRICKS) | st.text(st.characters(codec=None), max_size=20)
    return st.lists(parts, min_size=1, max_size=4).map("".join)

"""What every task shares: its site, and how errors end it."""

from __future__ import annotations

import functools
import gc
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from invoke import Context, Exit

if TYPE_CHECKING:
    from annexkit.flows.site import Site

ROOT = Path.cwd()  # tasks.py says which checkout is worked on


def reported(body: Callable[..., int | None]) -> Callable[..., None]:
    """Show errors for people and turn them into exit codes."""

    @functools.wraps(body)
    def run(c: Context, *args: Any, **flags: Any) -> None:
        from annexkit.console import Console
        from annexkit.errors import AnnexkitError
        from annexkit.stopping import stoppable

        try:
            with stoppable():
                code = body(c, *args, **flags)
        except AnnexkitError as error:
            Console().error(error)
            raise Exit(code=int(error.exit_code)) from None
        if code:
            raise Exit(code=int(code))

    return run


def say_settings_error(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Say what Invoke cannot read of the settings, which it does before any task."""
    if not kind.__module__.startswith("invoke."):
        sys.__excepthook__(kind, error, trace)
        return
    said = " ".join(str(error).split())
    if kind.__name__ == "AmbiguousMergeError":  # it shows both sides, whole
        given = said.rpartition(" with ")[2]
        said = f"a value and a section share a name; the value is {given}"
    print(f"error: the settings cannot be read: {said}", file=sys.stderr)
    print("  mend: correct the file (invoke.yaml shows how)", file=sys.stderr)


def plain(node: Any) -> Any:
    """Copy Invoke's configuration proxy into plain dicts."""
    if isinstance(node, Mapping) or hasattr(node, "_config"):
        return {key: plain(node[key]) for key in node}
    return node


def as_given(section: Any, prefix: str) -> None:
    """Give switches that the environment sets as the words that stand there.

    Invoke takes every word but ``0`` for yes, ``false`` and ``off`` included (its
    documentation, "Configuration", type casting). The settings read them as YAML does,
    and refuse what is neither.
    """
    if not isinstance(section, dict):
        return
    for key, value in section.items():
        name = f"{prefix}_{key}".upper()
        given = os.environ.get(name)
        # Another value than Invoke made of it comes from the file of -f, which wins.
        if isinstance(value, bool) and given and value == (given != "0"):
            section[key] = given
        as_given(value, name)


def site_of(c: Context, as_json: bool = False) -> Site:
    """Return the site that Invoke's configuration describes.

    :raises UsageError: a setting, or the file of ``-f``, is not usable.
    """
    # What is loaded by now stays to the end: looking through it again and again costs
    # a third of the time in which ten thousand nodes are described.
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
    from annexkit import settings
    from annexkit.console import Console
    from annexkit.flows.site import Site

    _check_given_file(c)
    section = plain(c.config.get("annexkit", {}))
    as_given(section, "INVOKE_ANNEXKIT")
    known = settings.load(section)
    return Site(known, ROOT, Console(as_json=as_json), given=section)


def _check_given_file(c: Context) -> None:
    """Refuse ``-f`` with a file that is not there; Invoke passes over it in silence."""
    from annexkit.errors import UsageError

    given = getattr(c.config, "_runtime_path", None)
    if given and not Path(given).is_file():
        raise UsageError(
            "this file of settings does not exist",
            where=f"-f {given}",
            mend="correct the path, or leave -f out",
        )

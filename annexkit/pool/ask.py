"""Asks a collector by HTCondor's own bindings; a program of its own.

``collector.py`` starts it, and says why: the bindings end the whole process when a
configuration is bad, and hold every thread of it while they wait for a connection.

It reads one question as JSON (``collector``, ``type``, ``where``, ``attributes``,
``user``, ``time``, ``present``, ``timeout`` in seconds) and prints one answer: ``ads``
as lists of values in the order of ``attributes``, or ``error`` and what the bindings
``said``.
Standard library and bindings only, and nothing of annexkit.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

# What the bindings call the kinds of ads that annexkit asks for.
TYPES = ("Startd", "Master", "Collector")


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """Ask the collector; return the answer, or the error."""
    try:
        import htcondor2  # noqa: PLC0415 - whether it is there is part of the answer
    except ImportError as error:
        return {"error": "no-module", "said": str(error)}
    try:
        htcondor2.param["QUERY_TIMEOUT"] = str(question["timeout"])
        htcondor2.param["TOOL_DEBUG"] = "D_SECURITY"
        htcondor2.enable_debug()  # to standard error: the exceptions say nothing
        ads = htcondor2.Collector(question["collector"]).query(
            getattr(htcondor2.AdType, question["type"]),
            constraint=constraint(
                question["where"], question.get("time"), question.get("present", ())
            ),
            projection=question["attributes"],
        )
    except htcondor2.HTCondorException as error:
        return {"error": "refused", "said": str(error)}
    return {"ads": [values(ad, question["attributes"], question["user"]) for ad in ads]}


def starts(ad: Any, user: str) -> bool | None:
    """Say whether START lets a job of *user* run; the annex's owner when empty.

    Without a job at hand the bindings evaluate some expressions to false that are
    undefined.
    """
    import classad2  # noqa: PLC0415

    expression = ad.lookup("Start") if "Start" in ad else None
    if expression is None or isinstance(expression, bool):
        return expression
    job = classad2.ClassAd({"Owner": user or ad.get("AnnexOwner") or ""})
    try:
        value = expression.eval(scope=ad, target=job)
    except Exception:
        return None
    return value if isinstance(value, bool) else None


def constraint(
    where: dict[str, str],
    time: list[int] | None = None,
    present: list[str] | tuple[str, ...] = (),
) -> str:
    """Return the ClassAd expression that wants exactly these values.

    With *time* (two epoch seconds), nothing answers unless the collector's own clock is
    between them: what it says of itself is minutes old. Attributes of *present* must be
    there, with whatever value.

    ``=?=`` tells upper from lower case, which ``==`` does not; ``quote`` lets no value
    become an expression of its own.
    """
    import classad2  # noqa: PLC0415

    wanted = [f"{name} =?= {classad2.quote(value)}" for name, value in where.items()]
    wanted += [f"{name} =!= undefined" for name in present]
    if time:
        wanted.append(f"time() >= {int(time[0])} && time() <= {int(time[1])}")
    return " && ".join(wanted) or "true"


def values(ad: Any, attributes: list[str], user: str = "") -> list[Any]:
    """Return an ad's values; what is undefined is None."""
    return [
        starts(ad, user) if name == "Start" else plain(ad, name) for name in attributes
    ]


def plain(ad: Any, name: str) -> Any:
    """Return one value as JSON knows it."""
    value = ad.get(name)
    if value is None or isinstance(value, (str, bool, int, float)):
        # ClassAd's undefined and error are numbers of their own kind.
        return value if type(value) in (str, bool, int, float) else None
    if isinstance(value, list):
        return None
    try:
        value = ad.eval(name)
    except Exception:
        return None
    return value if type(value) in (str, bool, int, float) else None


def main() -> None:
    """Answer one question."""
    # HTCondor looks for files of configuration and ends the process without one.
    question = json.load(sys.stdin)
    if not question.get("configured"):
        os.environ["CONDOR_CONFIG"] = "ONLY_ENV"
    json.dump(answer(question), sys.stdout)


if __name__ == "__main__":
    main()

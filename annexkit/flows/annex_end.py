"""When a lease is to end, as a person says it."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from annexkit.errors import UsageError
from annexkit.sections import seconds

SOONEST = 120.0  # seconds from now: less is an end, and has a command of its own


def new_end(lease: str, until: str, now: float, *, force: bool = False) -> float:
    """Return the new end of a lease in epoch seconds: from now on, or at a moment.

    :raises UsageError: neither or both of the flags, no time, or one too soon.
    """
    if bool(lease) == bool(until):
        raise UsageError(
            "say either for how long from now, or until when",
            where="--lease, --until",
            mend="such as: --lease 3h, or --until 18:00Z",
        )
    end = _after(lease, now) if lease else _moment(until, now)
    if end < now + SOONEST and not force:
        raise UsageError(
            f"the lease would end in {max(0.0, end - now):.0f} s",
            where="--lease" if lease else "--until",
            mend="end it: invoke terminate --annex-name ...; or add --force",
        )
    return float(int(end))


def _after(given: str, now: float) -> float:
    try:
        return now + seconds(given)
    except ValueError as error:
        raise UsageError(
            f"{given!r} is {error}", where="--lease", mend="such as: --lease 3h"
        ) from None


def _moment(given: str, now: float) -> float:
    """Read ``18:00Z``, the next such time, or a date and time; with their zone."""
    here = datetime.fromtimestamp(now, UTC)
    try:
        if "-" in given[:5]:
            when = datetime.fromisoformat(given)
        else:
            when = datetime.combine(here, time.fromisoformat(given))
            if when.tzinfo:  # the next one, whatever the day is there
                day = timedelta(days=1)
                when = here + ((when - here) % day or day)
    except ValueError:
        when = None
    if when is None or when.tzinfo is None:
        raise UsageError(
            f"{given!r} is no time with a zone",
            where="--until",
            mend="write 18:00Z, 18:00+02:00 or 2026-11-23T18:00Z",
        )
    return when.timestamp()

"""Times, spans and money in words."""

from __future__ import annotations

from datetime import UTC, datetime

UNITS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def spell(seconds: float) -> str:
    """Write a span with its two largest units.

    >>> spell(7200), spell(5400), spell(45), spell(0)
    ('2h', '1h 30m', '45s', '0s')
    """
    left, words = round(seconds), []
    for size, unit in UNITS:
        if left >= size:
            words.append(f"{left // size}{unit}")
            left %= size
    return " ".join(words[:2]) or "0s"


def stamp(epoch: float) -> str:
    """Write a time in UTC, to the second.

    >>> stamp(1_700_000_000)
    '2023-11-14 22:13:20 UTC'
    """
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def money(usd: float) -> str:
    """Write an amount of US dollars, small ones to a hundredth of a cent.

    >>> money(0.1008), money(1234.5)
    ('$0.1008', '$1,234.50')
    """
    return f"${usd:.4f}" if usd < 1 else f"${usd:,.2f}"

"""Asking a person before something is taken away."""

from __future__ import annotations

import sys

from annexkit.errors import UsageError


def confirmed(question: str, *, yes: bool, what: str, mend: str) -> bool:
    """Return whether a person agrees; ``yes`` agrees beforehand.

    :param question: what is asked, without the choice of answers.
    :param what: what would happen, for the error when nobody is here to ask.
    :param mend: the command that does not ask.
    :raises UsageError: nobody is here to ask.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError(f"{what}, and nobody is here to ask", mend=mend)
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError:
        return False
    return answer.strip().lower() == "y"

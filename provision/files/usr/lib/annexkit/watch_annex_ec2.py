#!/usr/bin/env python3
"""End a node of the contract "annex-ec2" on which HTCondor does not run.

While HTCondor runs, it ends the node itself, when no job claimed it for as long as the
annex's owner allows. Where it never came to run, or runs no more, nothing else on the
node would: upstream's lease is a function in AWS that this image does not have. As long
as upstream's own script waits before it gives up, HTCondor may be away, in one piece; a
reboot begins anew.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

from lease import is_active

AWAY = 3000.0
LOOK = 30.0
POWER_OFF = "/usr/lib/annexkit/power-off"


def watch(
    runs: Callable[[], bool],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    away: float = AWAY,
) -> float:
    """Return for how long HTCondor has been away, once that is too long (seconds)."""
    since = clock()
    while True:
        now = clock()
        if runs():
            since = now
        elif now - since >= away:
            return now - since
        sleep(LOOK)


def main() -> int:
    """Watch, and power the node off; does not return before."""
    gone = watch(lambda: is_active("condor.service"))
    why = f"HTCondor has not run for {gone:.0f} s"
    return subprocess.run([POWER_OFF, why], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

"""The timers that end the node: armed at boot, moved when the lease moves.

Two timers that do not depend on each other: the contract's own, and the one of the
user data (annexkit-deadline), which is there even if the contract never runs.
"""

from __future__ import annotations

import subprocess
import time
from datetime import datetime, timezone
from pathlib import Path

TIMER = "annexkit-lease.timer"
DEADLINE = "annexkit-deadline.timer"
# The user data's timer follows so many seconds later: the orderly end comes first.
BEHIND = 60


class LeaseError(Exception):
    """systemd did not take a timer; the text says which."""


def lease_timer(expires: int) -> str:
    """The unit that ends the node at *expires*, a Unix time.

    Absolute, so that neither a reboot nor a slow boot moves it; persistent, so that
    a lease that ran out while the node was down ends it at the next boot; without
    default dependencies, so that a boot that hangs does not keep it from starting
    (systemd.timer(5)).
    """
    return (
        "# Written by annexkit; follows the lease.\n"
        "[Unit]\nDescription=End of the annex's lease\nDefaultDependencies=no\n"
        "After=local-fs.target\nConflicts=shutdown.target\nBefore=shutdown.target\n\n"
        f"[Timer]\nOnCalendar={calendar_time(expires)}\n"
        "AccuracySec=1s\nPersistent=true\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )


def deadline_change(expires: int, now: float) -> str:
    """The drop-in that moves the user data's timer; an empty value forgets the old.

    It counts from now by the kernel's own clock, so that a wall clock that is set
    later moves one of the two timers only.
    """
    left = max(1, round(expires + BEHIND - now))
    return (
        "# Written by annexkit; follows the lease.\n"
        f"[Timer]\nOnActiveSec=\nOnActiveSec={left}\nAccuracySec=1s\n"
    )


def calendar_time(when: int) -> str:
    """Write a Unix time as systemd.time(7) reads it."""
    at = datetime.fromtimestamp(when, timezone.utc)  # noqa: UP017  (Python 3.9)
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def arm(root: str, expires: int) -> None:
    """Arm the contract's timer, now and at each later boot.

    systemd finds a new unit by itself; only a changed one has to be read again, which
    costs a tenth of a second of a boot.

    :raises LeaseError: systemd did not take it.
    """
    path = Path(f"{root}/etc/systemd/system/{TIMER}")
    wants = path.parent / "timers.target.wants" / TIMER
    known = path.exists()
    write(path, lease_timer(expires), 0o644)
    wants.parent.mkdir(parents=True, exist_ok=True)
    if not wants.is_symlink():
        wants.symlink_to(f"../{TIMER}")
    if known:
        systemctl("daemon-reload")
    systemctl("restart", TIMER)


def move(root: str, expires: int) -> None:
    """Move both timers to a new end, later or earlier.

    :raises LeaseError: systemd did not take it.
    """
    write(Path(f"{root}/etc/systemd/system/{TIMER}"), lease_timer(expires), 0o644)
    folder = Path(f"{root}/run/systemd/system/{DEADLINE}.d")
    write(
        folder / "50-annexkit-lease.conf", deadline_change(expires, time.time()), 0o644
    )
    systemctl("daemon-reload")
    systemctl("restart", TIMER)
    if is_active(DEADLINE):
        systemctl("restart", DEADLINE)


def is_active(unit: str) -> bool:
    """Say whether a unit is active."""
    command = ["systemctl", "is-active", "--quiet", unit]
    return subprocess.run(command, check=False).returncode == 0


def systemctl(*args: str) -> None:
    """Run systemctl.

    :raises LeaseError: it failed.
    """
    done = subprocess.run(
        ["systemctl", *args], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LeaseError(f"systemctl {' '.join(args)}: {done.stderr.strip()}")


def write(path: Path, text: str, mode: int) -> None:
    """Write all of a file or nothing of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.annexkit-new")
    beside.write_text(text)
    beside.chmod(mode)
    beside.replace(path)

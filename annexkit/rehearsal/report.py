"""The state of a rehearsal for people and machines."""

from __future__ import annotations

from dataclasses import asdict

from annexkit.console import Console
from annexkit.rehearsal.control import Status


def show(status: Status, console: Console) -> None:
    """Print whether the rehearsal is up, then its machines and images."""
    if console.as_json:
        console.result(asdict(status) | {"dir": str(status.dir)})
        return
    if not status.alive:
        console.result({}, "the rehearsal is not up: invoke rehearsal.up")
        return
    console.result({}, f"up at {status.endpoint}, base AMI {status.base}")
    for title, rows in (("machines", status.machines), ("images", status.images)):
        if rows:
            columns = tuple(rows[0])
            values = [tuple(row[name] for name in columns) for row in rows]
            console.table(columns, values, title=title)
        else:
            console.result({}, f"no {title}")

"""What people and machines see: tables, progress lines, JSON, errors."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console as RichConsole
from rich.markup import escape
from rich.table import Table

from annexkit.errors import AnnexkitError, Finding, Level

MARKS = {Level.INFO: "cyan", Level.WARNING: "yellow", Level.ERROR: "red"}


class Console:
    """Prints for people on standard error, results on standard output.

    With ``as_json`` the one thing on standard output is a JSON document; progress stays
    on standard error, so that a pipe gets only the result.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self._out = RichConsole(soft_wrap=True, highlight=False)
        if not self._out.is_terminal:  # a pipe or a log: do not fold at 80 columns
            self._out.width = 240
        self._err = RichConsole(stderr=True, soft_wrap=True, highlight=False)

    def step(self, text: str) -> None:
        """Say that a step begins or ended; one plain line."""
        self._err.print(f"[bold]>[/bold] {escape(text)}")

    def detail(self, text: str) -> None:
        """Say something within a step."""
        self._err.print(f"  [dim]{escape(text)}[/dim]")

    def finding(self, found: Finding) -> None:
        """Show one finding: level, where, what, and the mend on a line of its own."""
        color = MARKS[found.level]
        where = f"{escape(found.where)}: " if found.where else ""
        self._err.print(
            f"[{color}]{found.level}[/{color}]: {where}{escape(found.what)}"
        )
        if found.mend:
            self._err.print(f"  [bold]mend:[/bold] {escape(found.mend)}")

    def error(self, error: AnnexkitError) -> None:
        """Show everything an error found."""
        for found in error.findings:
            self.finding(found)

    def result(self, data: Mapping[str, Any], text: str = "") -> None:
        """Print a result: JSON for machines, *text* for people."""
        if self.as_json:
            sys.stdout.write(json.dumps(data, indent=2, sort_keys=True) + "\n")
        elif text:
            self._out.print(escape(text))

    def document(self, text: str) -> None:
        """Print a text exactly as it is: no markup, no folding; as JSON, nothing."""
        if not self.as_json:
            sys.stdout.write(text)

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[object]],
        *,
        title: str = "",
        data: Any = None,
    ) -> None:
        """Print a table for people, or *data* (the rows by column) as JSON."""
        rows = [tuple(row) for row in rows]
        if self.as_json:
            as_data = data
            if as_data is None:
                as_data = [dict(zip(columns, row, strict=True)) for row in rows]
            sys.stdout.write(
                json.dumps(as_data, indent=2, sort_keys=True, default=str) + "\n"
            )
            return
        shown = Table(title=title or None, title_justify="left", box=None)
        for column in columns:
            shown.add_column(column, overflow="fold")
        for row in rows:
            shown.add_row(*(escape(str(cell)) for cell in row))
        self._out.print(shown)

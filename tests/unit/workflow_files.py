"""The workflow files as data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".github" / "workflows"
FILES = ("ci", "nightly")


@dataclass(frozen=True)
class Step:
    """A step with where it stands."""

    file: str
    job: str
    number: int
    said: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.file}-{self.job}-{self.number}"

    @property
    def action(self) -> str:
        return str(self.said.get("uses", "")).partition("@")[0]


def text_of(file: str) -> str:
    return (FOLDER / f"{file}.yml").read_text(encoding="utf-8")


def workflow(file: str) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(text_of(file))
    return found


def events(file: str) -> dict[str, Any]:
    found: dict[str, Any] = workflow(file)[True]  # YAML 1.1 reads "on" as yes
    return found


def steps_of(file: str, job: str) -> list[Step]:
    listed = workflow(file)["jobs"][job]["steps"]
    return [Step(file, job, number, said) for number, said in enumerate(listed)]


def every_step() -> Iterator[Step]:
    for file in FILES:
        for job in workflow(file)["jobs"]:
            yield from steps_of(file, job)


RUNS = [step for step in every_step() if "run" in step.said]


def named(job: str, word: str) -> Step:
    """Return the one step of the nights that says this."""
    [found] = [s for s in steps_of("nightly", job) if word in json.dumps(s.said)]
    return found

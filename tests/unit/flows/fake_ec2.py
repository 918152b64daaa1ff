"""EC2 as far as the verification of nodes asks it, one answer after another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from annexkit.instances import Instance
from tests.unit.helpers import REGION


@dataclass
class FakeEc2:
    """Instances as DescribeInstances shows them; a list gives one answer after another.

    ``states`` and ``consoles``: by instance id, the last answer stays.
    """

    states: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    consoles: dict[str, list[Any]] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)

    def add(self, number: int, *states: str, console: list[Any], **said: Any) -> None:
        name = f"i-{number:017x}"
        self.consoles[name] = console
        self.states[name] = [
            {
                "InstanceId": name,
                "State": {"Name": state},
                "PublicIpAddress": "127.0.0.1" if state == "running" else "",
                **said,
            }
            for state in states
        ]

    def nodes(self) -> list[Instance]:
        return [Instance(name, REGION, "pending") for name in self.states]

    def pages(self, region: str, method: str, key: str, **asked: Any) -> Iterator[Any]:
        self.calls[method] += 1
        assert method == "describe_instances"
        (wanted,) = (f["Values"] for f in asked["Filters"])
        assert len(wanted) <= 200
        shown = [self._next(self.states[name]) for name in wanted]
        yield {"Instances": shown}

    def call(self, region: str, method: str, **asked: Any) -> dict[str, Any]:
        self.calls[method] += 1
        self.asked[asked["InstanceId"]] += 1
        said = self._next(self.consoles[asked["InstanceId"]])
        if isinstance(said, Exception):
            raise said
        return {"Output": said}

    @staticmethod
    def _next(answers: list[Any]) -> Any:
        return answers.pop(0) if len(answers) > 1 else answers[0]

"""Every flag of the tasks that make an account ready reaches its flow."""

from __future__ import annotations

from typing import Any

import pytest
from invoke import Collection, Program

from annexkit.commands import account
from annexkit.flows import iam, keypair, regions
from annexkit.flows.iam import IamRequest
from annexkit.flows.keypair import KeypairRequest


class Heard:
    """What a command handed to its flow."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.given: tuple[Any, ...] = ()
        self.as_json: list[bool] = []
        self.code = 0
        patch.setattr(account, "site_of", self.site)
        patch.setattr(regions, "show_regions", self.flow)
        patch.setattr(keypair, "make_keypair", self.flow)
        patch.setattr(iam, "set_up", self.flow)
        patch.setattr(iam, "show", lambda *given: self.flow(*given, "shown"))

    def site(self, _: Any, as_json: bool = False) -> str:
        self.as_json.append(as_json)
        return "the site"

    def flow(self, site: str, *given: Any) -> int:
        assert site == "the site"
        self.given = given
        return self.code

    def invoke(self, line: str) -> int:
        """Run one command line; return its exit code."""
        program = Program(namespace=Collection.from_module(account))
        with pytest.raises(SystemExit) as ended:
            program.run(["invoke", *line.split(" ")])
            raise SystemExit(0)
        return int(ended.value.code or 0)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    return Heard(monkeypatch)


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("regions", ()),
        ("keypair", (KeypairRequest(),)),
        (
            "keypair --key-name n --import f --region a --region b,c --dry-run",
            (KeypairRequest("n", "f", ("a", "b,c"), True),),
        ),
        ("keypair --key-name ", (KeypairRequest(""),)),
        ("iam", (IamRequest(),)),
        (
            "iam --role person --role node --region a --repository one/grid "
            "--branch dev --yes --dry-run",
            (
                IamRequest(
                    ("person", "node"), ("a",), False, "one/grid", "dev", True, True
                ),
            ),
        ),
        (
            "iam --show --role person --all-regions",
            (IamRequest(("person",), (), True), "shown"),
        ),
    ],
)
def test_flags_reach_the_flow(heard: Heard, line: str, given: tuple[Any, ...]) -> None:
    assert heard.invoke(line) == 0
    assert heard.given == given
    assert heard.as_json == [False]


@pytest.mark.parametrize("task", ["regions", "keypair", "iam"])
def test_json_is_for_the_console(heard: Heard, task: str) -> None:
    heard.invoke(f"{task} --json")
    assert heard.as_json == [True]


@pytest.mark.parametrize("code", [0, 1, 3])
def test_the_result_is_the_exit_code(heard: Heard, code: int) -> None:
    heard.code = code
    assert heard.invoke("keypair") == code

"""A person does what the page says, word by word, and the next page is well."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from botocore import session, xform_name

from annexkit.flows.site import Site
from tests.unit.flows import bad_network, bad_region, bad_site
from tests.unit.flows.ward import Ward, a_ward, main_table

SETTING = re.compile(r"INVOKE_ANNEXKIT_([A-Z]+)_([A-Z_]+)=(\S+)")


def aws(ward: Ward, words: list[str]) -> str:
    """Make the call of one AWS CLI command; return what ``--query`` picks of it."""
    _, service, command, *rest = words
    options = dict(zip(rest[::2], rest[1::2], strict=True))
    model = session.get_session().get_service_model(service)
    operation = next(n for n in model.operation_names if xform_name(n, "-") == command)
    shape = model.operation_model(operation).input_shape
    assert shape is not None
    given = {
        member: options[f"--{xform_name(member, '-')}"]
        for member in shape.members
        if f"--{xform_name(member, '-')}" in options
    }
    said = ward.real(xform_name(operation), service=service, **given)
    path = options.get("--query", "").split(".") if "--query" in options else []
    return str(reduce(lambda data, key: data[key], path, said))


def obey(ward: Ward, mend: str) -> None:
    """Do what a mend says, as far as it is commands; words after them are for people.

    ``name=$(command)`` and ``$name`` as a shell has them.
    """
    known: dict[str, str] = {}
    for text in mend.split("; "):
        into, _, inner = text.partition("=$(")
        words = shlex.split(inner.rstrip(")") if inner else text)
        words = [known.get(word.removeprefix("$"), word) for word in words]
        if words[0] == "aws":
            known[into] = aws(ward, words)
        elif words[0] == "chmod":
            Path(words[2].rstrip(",")).chmod(int(words[1], 8))
        elif words[0] == "export":
            found = SETTING.fullmatch(words[1])
            assert found, words
            section, key, value = found[1].lower(), found[2].lower(), found[3]
            values = ward.site.settings.model_dump()
            values[section][key] = value
            ward.site.settings = type(ward.site.settings).model_validate(values)
        if words[0] != "aws":
            return


def lines_of(ward: Ward, check: str) -> list[dict[str, str]]:
    ward.console.results.clear()
    return [line for line in ward.examined()["lines"] if line["check"] == check]


def no_way_out(ward: Ward) -> None:
    ward.real(
        "delete_route",
        RouteTableId=main_table(ward, ward.vpc),
        DestinationCidrBlock="0.0.0.0/0",
    )


def no_gateway(ward: Ward) -> None:
    no_way_out(ward)
    [found] = ward.real("describe_internet_gateways")["InternetGateways"]
    name = found["InternetGatewayId"]
    ward.real("detach_internet_gateway", InternetGatewayId=name, VpcId=ward.vpc)


def spoiler(module: Any, name: str) -> Callable[[Ward], Any]:
    found: Callable[[Ward], Any] = next(
        one.spoil for one in module.SITUATIONS if one.name == name
    )
    return found


@pytest.mark.parametrize(
    ("check", "spoil"),
    [
        ("routes", no_way_out),
        ("routes", no_gateway),
        ("ssh key", spoiler(bad_region, "key file open to others")),
        ("ssh key", spoiler(bad_region, "the annex's key open to others")),
        ("scheduler", spoiler(bad_network, "no scheduler")),
        ("amazon plugin", spoiler(bad_site, "a plugin that stalls")),
    ],
)
def test_who_does_what_the_page_says_gets_a_better_page(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    check: str,
    spoil: Callable[[Ward], Any],
) -> None:
    ward = a_ward(site, monkeypatch)
    spoil(ward)
    first = lines_of(ward, check)[0]
    assert first["status"] in ("wrong", "warning")
    obey(ward, first["mend"])
    after = [line["what"] for line in lines_of(ward, check)]
    assert first["what"] not in after
    if check != "amazon plugin":  # the good one is installed by another command
        assert {line["status"] for line in lines_of(ward, check)} == {"ok"}

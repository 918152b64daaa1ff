"""Every form: as agreed, to the letter, and as the program that it is for reads it."""

from __future__ import annotations

import json
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import hcl2
import pytest
from botocore.session import Session
from botocore.validate import ParamValidator
from hypothesis import example, given
from hypothesis import strategies as st

from annexkit.aws import Cloud
from annexkit.process import run
from annexkit.publish.choose import Export, LeftOut, choose, for_upstream
from annexkit.publish.forms import FORMS, KNOB, is_ours, knob, remark, render
from tests.unit.helpers import ami_id
from tests.unit.publish.samples import NOW, a_registry

GOLDEN = Path(__file__).parent / "golden"
# What comes between a text and the end of its line, in one program or another.
TRIPS = [
    "25 \\",
    "25 \\\n",
    'x"\n}\nlocals { a = 1 }\n#',
    "x\nus_west_2.ANNEX_DEFAULT_ODI_IMAGE_ID = ami-0bad0bad\n",
    "x\rA=1\x0bB=2\x0cC=3\x1cD=4\x85E=5\u2028F=6",
    "$(touch x) `touch x` ${x} %{x} '\" ; & |",
    "*/ // -->",
    "\ud800\0",
    "@=end\n@end",
]


def export(form: str) -> Export:
    chosen = choose(a_registry(), NOW)
    if form == "condor":
        return for_upstream(chosen, "debian13", "x86_64")
    return chosen


def hostile(form: str, text: str) -> Export:
    """Return the sample with *text* wherever the registry takes any text."""
    one = export(form)
    amis = [replace(a, htcondor=text, contracts=(text,)) for a in one.amis]
    left = [
        *(replace(o, why=text) for o in one.left_out),
        LeftOut(text, "x86_64", text, text),
    ]
    return replace(
        one, account="", endpoint=text, amis=tuple(amis), left_out=tuple(left)
    )


def places(one: Export) -> dict[tuple[str, str, str], str]:
    return {(a.image, a.arch, a.region): a.ami for a in one.amis}


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_as_agreed_to_the_letter(form: str) -> None:
    assert render(export(form), form) == (GOLDEN / form).read_text()


@pytest.mark.parametrize("form", FORMS)
def test_an_export_knows_its_own_form_and_no_other(form: str) -> None:
    text = render(export(form), form)
    assert [known for known in FORMS if is_ours(text, known)] == [form]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "us_west_2.ANNEX_DEFAULT_ODI_IMAGE_ID = ami-1\n",
        "# mine\n# Written by annexkit: invoke registry.export --format condor\n",
        "{}",
        "[1]",
        '{"written_by": "me"}',
        "[" * 100_000,
        "\ufffd\0",
    ],
)
def test_what_somebody_else_wrote_is_not_ours(text: str) -> None:
    assert [form for form in FORMS if is_ours(text, form)] == []


def of_condor(text: str) -> dict[str, str]:
    """Read as HTCondor does: a backslash goes on, in a comment too; # is a comment."""
    lines = text.replace("\\\n", "").split("\n")
    said = [line for line in lines if line.strip() and not line.startswith("#")]
    return dict(line.split(" = ") for line in said)


def of_shell(text: str) -> dict[str, str]:
    words = shlex.split(text, comments=True)
    return dict(word.split("=", 1) for word in words)


def unquoted(value: Any) -> Any:
    """Take off the quotes that python-hcl2 keeps, and its own keys."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if not k.startswith("__")}
        return {unquoted(k): unquoted(v) for k, v in kept.items()}
    if isinstance(value, list):
        return [unquoted(item) for item in value]
    return value.strip('"') if isinstance(value, str) else value


def of_terraform(text: str) -> dict[tuple[str, str, str], str]:
    document = unquoted(hcl2.loads(text))
    assert set(document) == {"locals"}
    (block,) = document["locals"]
    assert set(block) == {"annexkit_amis"}
    return {
        (image, arch, region): ami
        for image, archs in block["annexkit_amis"].items()
        for arch, regions in archs.items()
        for region, ami in regions.items()
    }


def variable(place: tuple[str, str, str]) -> str:
    return "ANNEXKIT_AMI_" + re.sub(r"\W", "_", "_".join(place)).upper()


@pytest.mark.parametrize("text", TRIPS)
@pytest.mark.parametrize("form", ["condor", "env", "terraform"])
def test_free_text_stays_within_the_line_of_its_comment(form: str, text: str) -> None:
    plain = render(hostile(form, "x"), form).splitlines()
    lines = render(hostile(form, text), form).splitlines()
    assert len(lines) == len(plain)
    assert not [line for line in lines if line.endswith("\\")]


@given(st.text(alphabet=st.characters(exclude_categories=())))
@example(TRIPS[0])
@example(TRIPS[3])
@example(TRIPS[4])
def test_any_text_leaves_the_settings_of_htcondor_alone(text: str) -> None:
    one = hostile("condor", text)
    assert of_condor(render(one, "condor")) == {knob(a.region): a.ami for a in one.amis}


@given(st.text(alphabet=st.characters(exclude_categories=())))
@example(TRIPS[5])
@example(TRIPS[3])
def test_any_text_leaves_the_variables_of_a_shell_alone(text: str) -> None:
    one = hostile("env", text)
    expected = {variable(place): ami for place, ami in places(one).items()}
    assert len(expected) == 4
    assert of_shell(render(one, "env")) == expected


@given(st.text(alphabet=st.characters(exclude_categories=())))
@example(TRIPS[2])
@example(TRIPS[6])
def test_any_text_leaves_the_map_of_terraform_alone(text: str) -> None:
    one = hostile("terraform", text)
    assert of_terraform(render(one, "terraform")) == places(one)


@given(st.text(alphabet=st.characters(exclude_categories=())))
@example(TRIPS[7])
def test_any_text_is_the_same_in_json(text: str) -> None:
    one = hostile("json", text)
    data = json.loads(render(one, "json"))
    assert data["endpoint"] == text
    assert data["left_out"][-1]["why"] == text
    said = data["images"]["debian13"]["arm64"]["us-west-2"]
    assert (said["htcondor"], said["contracts"]) == (text, [text])
    assert said["ami"] == ami_id(3)


@given(st.text(alphabet=st.characters(exclude_categories=())))
@example("x" * 3000)
def test_any_text_is_an_input_that_aws_takes(text: str) -> None:
    model = Session().get_service_model("ssm")
    shape = model.operation_model("PutParameter").input_shape
    assert shape is not None
    for item in json.loads(render(hostile("ssm", text), "ssm"))["parameters"]:
        report = ParamValidator().validate(item["input"], shape)
        assert not report.has_errors(), report.generate_report()
        assert len(item["input"]["Description"]) <= 1024
        assert set(item["input"]) <= set(shape.members)


def test_the_parameters_are_put_and_put_again(cloud: Cloud) -> None:
    said = json.loads(render(export("ssm"), "ssm"))["parameters"]
    for one in said * 2:
        cloud.call(one["region"], "put_parameter", service="ssm", **one["input"])
    for one in said:
        name = one["input"]["Name"]
        got = cloud.call(one["region"], "get_parameter", service="ssm", Name=name)
        there = got["Parameter"]
        assert there["Value"] == one["input"]["Value"]
        assert (there["DataType"], there["Version"]) == ("aws:ec2:image", 2)


@pytest.mark.parametrize("text", ["23.9.6", TRIPS[0], TRIPS[3]])
def test_htcondor_itself_reads_the_condor_form(
    tmp_path: Path, real_processes: None, text: str
) -> None:
    path = tmp_path / "condor_config"
    path.write_text(render(hostile("condor", text), "condor"))
    asked = [knob("us-west-2"), knob("us-east-1"), KNOB]
    program = (
        "import htcondor2, sys; print([htcondor2.param.get(n) for n in sys.argv[1:]])"
    )
    env = {"CONDOR_CONFIG": str(path)}
    said = run(sys.executable, "-c", program, *asked, env=env).stdout
    assert said.splitlines()[-1] == str([ami_id(1), ami_id(2), None])


@pytest.mark.parametrize("text", ["23.9.6", TRIPS[3], TRIPS[5]])
def test_a_shell_itself_reads_the_env_form(
    tmp_path: Path, real_processes: None, text: str
) -> None:
    path = tmp_path / "amis.env"
    one = hostile("env", text)
    path.write_text(render(one, "env"))
    script = 'set -aeu; . "$1"; env'
    said = run(
        "/bin/sh", "-c", script, "sh", path, env={"PATH": "/usr/bin:/bin"}, cwd=tmp_path
    )
    values = dict(line.partition("=")[::2] for line in said.stdout.splitlines())
    ours = {k: v for k, v in values.items() if k.startswith("ANNEXKIT_")}
    assert ours == {variable(place): ami for place, ami in places(one).items()}
    assert [p.name for p in tmp_path.iterdir()] == ["amis.env"], "nothing was run"


@pytest.mark.parametrize(
    ("region", "name"),
    [
        ("us-west-2", "us_west_2"),
        ("us-gov-east-1", "us_gov_east_1"),
        ("a.b/c_D", "a.b/c_D"),
        ("é²-x", "___x"),
    ],
)
def test_a_region_is_named_as_upstreams_client_names_it(region: str, name: str) -> None:
    assert knob(region) == f"{name}.ANNEX_DEFAULT_ODI_IMAGE_ID"


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_a_remark_is_one_line_that_every_encoding_takes(text: str) -> None:
    said = remark(text)
    assert len(said) == len(text)
    assert said.splitlines() in ([], [said])
    assert "\\" not in said
    assert said.encode().decode() == said

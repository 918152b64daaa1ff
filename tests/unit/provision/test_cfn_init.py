"""Our cfn-init: what a stack asks for is done in order, or refused before that."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

import pytest

from tests.unit.provision.conftest import NODE, Machine
from tests.unit.provision.metadata_stub import Behaviour, values

ASKED = (
    "--stack",
    "grid",
    "--resource",
    "Launch",
    "-c",
    "all",
    "--region",
    "us-west-2",
)
INIT = "AWS::CloudFormation::Init"
ROLE = "meta-data/iam/security-credentials/"
KEYS = {"AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "s3cr3t", "Token": "t0k"}


class Answers(http.server.BaseHTTPRequestHandler):
    """CloudFormation in small: one resource, whose metadata the test sets."""

    def do_POST(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        server.asked.append((dict(self.headers), parse_qs(body)))
        status, text = 200, escape(json.dumps(server.metadata))
        said = f"<Metadata>{text}</Metadata>" if server.metadata else ""
        answer = f"<A xmlns='urn:x'><B><C>{said}</C></B></A>"
        if server.error:
            status, answer = server.error
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service(machine: Machine, behaviour: Behaviour, metadata: object) -> Iterator[Any]:
    """CloudFormation, as the environment of user data names it."""
    role = {ROLE: "seed", f"{ROLE}seed": json.dumps(KEYS)}
    behaviour.values |= values(role)
    server: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    server.asked, server.metadata, server.error = [], {}, None
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    machine.env["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def init(*names: str, **configs: dict[str, Any]) -> dict[str, Any]:
    sets = {"all": list(names or configs)}
    return {INIT: {"configSets": sets, **configs}}


def run(machine: Machine, *asked: str) -> tuple[int, str]:
    done = machine.run("python3", "-Bs", NODE / "cfn_init.py", *(asked or ASKED))
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def test_files_are_written_and_commands_run_in_the_order_of_their_names(
    machine: Machine, service: Any
) -> None:
    machine.write("/ran", "")
    note, annex = f"{machine.root}/ran", f"{machine.root}/etc/condor/annex"
    service.metadata = init(
        config={
            "files": {
                "/etc/condor/annex": {"content": "DAEMON_LIST = MASTER\n"},
                "/etc/condor/secret": {
                    "content": "c2VjcmV0", "encoding": "base64", "mode": "000600",
                },
                "/etc/condor/data": {"content": {"a": 1}},
            },
            "commands": {
                "B-second": {"command": f"cat {annex} >> {note}"},
                "A-first": {
                    "command": ["sh", "-c", f"echo $WHO >> {note}"],
                    "env": {"WHO": "me"},
                },
                "C-not-needed": {"command": f"echo never >> {note}", "test": "false"},
                "D-may-fail": {"command": "false", "ignoreErrors": "true"},
                "E-there": {"command": f"pwd >> {note}", "cwd": "/"},
                "F-where": {"command": f"echo $AWS_DEFAULT_REGION >> {note}"},
            },
        }
    )  # fmt: skip
    code, said = run(machine)
    assert (code, "configuration config" in said) == (0, True)
    assert machine.read("/ran") == "me\nDAEMON_LIST = MASTER\n/\nus-west-2\n"
    etc = machine.root / "etc/condor"
    assert (etc / "secret").read_text() == "secret"
    assert json.loads((etc / "data").read_text()) == {"a": 1}
    modes = {path.name: path.stat().st_mode & 0o777 for path in etc.iterdir()}
    assert modes == {"annex": 0o644, "secret": 0o600, "data": 0o644}
    assert (machine.root / "var/log/cfn-init.log").stat().st_mode & 0o777 == 0o600


def test_cloudformation_is_asked_by_the_role(machine: Machine, service: Any) -> None:
    service.metadata = init(config={})
    assert run(machine)[0] == 0
    headers, form = service.asked[0]
    assert form["Action"] == ["DescribeStackResource"]
    assert (form["StackName"], form["LogicalResourceId"]) == (["grid"], ["Launch"])
    assert "Credential=AKIDEXAMPLE/" in headers["authorization"]
    assert "/us-west-2/cloudformation/aws4_request" in headers["authorization"]
    assert headers["x-amz-security-token"] == KEYS["Token"]


def test_a_set_may_name_other_sets(machine: Machine, service: Any) -> None:
    note = f"{machine.root}/ran"
    machine.write("/ran", "")
    service.metadata = init(
        *({"ConfigSet": "two"}, "one"),  # type: ignore[arg-type]
        one={"commands": {"x": {"command": f"echo one >> {note}"}}},
        other={"commands": {"x": {"command": f"echo other >> {note}"}}},
    )
    service.metadata[INIT]["configSets"]["two"] = ["other"]
    assert run(machine)[0] == 0
    assert machine.read("/ran") == "other\none\n"


def test_a_failed_command_ends_it(machine: Machine, service: Any) -> None:
    service.metadata = init(
        config={
            "commands": {
                "A": {"command": "echo it went wrong; exit 3"},
                "B": {"command": f"touch {machine.root}/never"},
            }
        }
    )
    code, said = run(machine)
    assert code == 1
    assert "command A failed: exit code 3" in said
    assert "it went wrong" in machine.read("/var/log/cfn-init.log")
    assert not (machine.root / "never").exists()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"packages": {"yum": {"condor": []}}}, "config: packages"),
        ({"files": {"/x": {"source": "https://x"}}}, "config: /x: source"),
        ({"commands": {"A": {"command": "true", "runas": "me"}}}, "config: A: runas"),
    ],
)
def test_what_is_not_known_is_refused_before_anything_is_done(
    machine: Machine, service: Any, config: dict[str, Any], said: str
) -> None:
    first = {"files": {"/first": {"content": "x"}}}
    service.metadata = init(first=first, config=config)
    code, text = run(machine)
    assert code == 1
    assert f"nothing was done: {said}" in text
    assert not (machine.root / "first").exists()


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({}, "has no metadata"),
        ({"Other": 1}, "there is no metadata 'AWS::CloudFormation::Init'"),
        (init("gone"), "there is no configuration 'gone'"),
        ({INIT: {}}, "configSets: 'all'"),
        (
            {INIT: {"configSets": {"all": [{"ConfigSet": "all"}]}}},
            "'all' names itself",
        ),
        (init(config={"files": {"x": {"content": ""}}}), "x is no absolute path"),
        (init(config={"files": {"/x": {"mode": "rw"}}}), "/x cannot be written"),
        (init(config={"files": {"/x": {"mode": "120777"}}}), "not that of a file"),
        (init(config={"files": {"/x": {"content": "?", "encoding": "base64"}}}), "/x"),
        (init(config={"files": {"/x": {"owner": "nobody-here"}}}), "/x cannot be"),
        (init(config={"commands": {"A": {}}}), "has no 'command'"),
        (init(config={"commands": {"A": {"command": ["/none"]}}}), "cannot run"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_without_a_traceback(
    machine: Machine, service: Any, told: dict[str, Any], said: str
) -> None:
    service.metadata = told
    code, text = run(machine)
    assert code == 1
    assert said in text


def test_a_stack_that_is_not_there_is_named(machine: Machine, service: Any) -> None:
    said = "<Message>Stack grid does not exist</Message>"
    service.error = (400, f"<E><Code>ValidationError</Code>{said}</E>")
    code, text = run(machine)
    assert code == 1
    assert "resource Launch of stack grid" in text
    assert "does not exist" in text


def test_by_its_other_name_it_prints_the_metadata_alone(
    machine: Machine, service: Any
) -> None:
    service.metadata = {
        "key": [1],
        **init(config={"commands": {"A": {"command": "false"}}}),
    }
    link = machine.programs / "cfn-get-metadata"
    link.symlink_to(NODE / "cfn_init.py")
    done = machine.run(link, *ASKED[:4], "--key", "key")
    assert (done.returncode, json.loads(done.stdout)) == (0, [1])

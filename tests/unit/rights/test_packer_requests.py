"""The real Packer's requests for our own template, held against the nightly policy.

moto answers; between it and Packer a proxy writes down what was asked. Without a
communicator there is nothing to log in to, so what runs on the builder is left out.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qsl

import boto3
import pytest
from moto.server import ThreadedMotoServer

from annexkit import tags
from annexkit.bake import packer
from annexkit.process import run
from annexkit.rights import documents
from annexkit.rights.words import Place
from tests.unit.bake.test_packer_on_moto import base_ami
from tests.unit.helpers import REGION
from tests.unit.rights.judge import ACCOUNT, Asked, arn, refused

pytestmark = pytest.mark.packer

GOLDEN = Path(__file__).parents[1] / "bake" / "golden" / "debian13-1.6"
PLACE = Place(ACCOUNT, "aws", (REGION,))
Asking = dict[str, str]


class Proxy(ThreadingHTTPServer):
    """Hands requests on to moto, and keeps their parameters."""

    def __init__(self, moto: str) -> None:
        self.moto = moto
        self.asked: list[Asking] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Proxy

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(dict(parse_qsl(body.decode())))
        kept = ("Authorization", "Content-Type", "X-Amz-Date", "X-Amz-Security-Token")
        headers = {k: v for k, v in self.headers.items() if k in kept}
        request = urllib.request.Request(self.server.moto, body, headers)
        try:
            answer = urllib.request.urlopen(request, timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            said = answer.read()
            self.send_response(answer.status)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Asking]]:
    """All that Packer asks of EC2 for one whole build."""
    folder = tmp_path_factory.mktemp("packer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "true")
        moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        moto.start()
        host, port = moto.get_host_and_port()
        proxy = Proxy(f"http://{host}:{port}")
        thread = Thread(target=proxy.serve_forever)
        thread.start()
        try:
            keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
            ec2 = boto3.client(
                "ec2",
                region_name=REGION,
                endpoint_url=proxy.moto,
                aws_access_key_id="test",
                aws_secret_access_key="test",
            )
            write_template(folder, base_ami(ec2))
            build(folder, proxy.url, keys)
            yield proxy.asked
        finally:
            proxy.shutdown()
            proxy.server_close()
            thread.join()
            moto.stop()


def write_template(folder: Path, ami: str) -> None:
    text = (GOLDEN / "template.pkr.hcl").read_text(encoding="utf-8")
    source, found, _ = text.partition("\nbuild {")
    assert found
    source = source.replace("ami-0123456789abcdef0", ami)
    login = '  ssh_username                          = "admin"\n'
    assert login in source
    source = source.replace(login, login + '  communicator = "none"\n')
    build = 'build {\n  sources = ["source.amazon-ebs.debian13"]\n}\n'
    (folder / "template.pkr.hcl").write_text(f"{source}\n{build}")
    (folder / "run.pkrvars.hcl").write_text((GOLDEN / "run.pkrvars.hcl").read_text())


def build(folder: Path, endpoint: str, keys: dict[str, str]) -> None:
    options = ("-color=false", "-var-file=run.pkrvars.hcl", "-var", "poll_seconds=1")
    program = packer.find_packer().path
    plain = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    run(
        *(program, "build", *options, "-var", f"endpoint={endpoint}", "."),
        cwd=folder,
        env={**plain, **keys, "CHECKPOINT_DISABLE": "1"},
        timeout=120,
    )


def test_the_nightly_job_may_ask_all_that_packer_asks(asked: list[Asking]) -> None:
    rights = {right.action for right in documents.rights_of("nightly")}
    actions = {f"ec2:{one['Action']}" for one in asked}
    assert {"ec2:RunInstances", "ec2:CreateImage", "ec2:DeleteKeyPair"} <= actions
    assert sorted(actions - rights) == []


def the(asked: list[Asking], action: str) -> Asking:
    return next(one for one in asked if one["Action"] == action)


def given(one: Asking, head: str) -> dict[str, str]:
    """Return the tags in a request, under a name such as ``Tag.``."""
    return {
        value: one[name.replace(".Key", ".Value")]
        for name, value in one.items()
        if name.startswith(head) and name.endswith(".Key")
    }


def test_builder_and_volume_are_tagged_as_they_are_launched(
    asked: list[Asking],
) -> None:
    launch = the(asked, "RunInstances")
    judged = []
    for n in ("1", "2"):
        kind = launch[f"TagSpecification.{n}.ResourceType"]
        found = given(launch, f"TagSpecification.{n}.Tag.")
        judged.append(Asked("ec2:RunInstances", arn(kind, "*"), given=found))
        judged.append(
            Asked("ec2:CreateTags", arn(kind, "*"), {}, found, "RunInstances")
        )
    assert {one.resource.split(":")[5] for one in judged} == {"instance/*", "volume/*"}
    assert refused(documents.policy("nightly", PLACE), judged) == []


def test_key_pair_image_and_snapshot_are_within_the_limits(
    asked: list[Asking],
) -> None:
    """In Packer's order: what was tagged has its tags from then on."""
    has: dict[str, dict[str, str]] = {}
    judged = []
    for one in asked:
        action = f"ec2:{one['Action']}"
        if action in ("ec2:CreateKeyPair", "ec2:DeleteKeyPair"):
            judged.append(Asked(action, arn("key-pair", one["KeyName"])))
        if action == "ec2:ModifyImageAttribute":
            image = one["ImageId"]
            judged.append(Asked(action, arn("image", image), has.get(image, {})))
        if action != "ec2:CreateTags":
            continue
        new = given(one, "Tag.")
        for name, thing in one.items():
            if name.startswith("ResourceId."):
                kind = "image" if thing.startswith("ami-") else "snapshot"
                before = dict(has.get(thing, {}))
                judged.append(Asked(action, arn(kind, thing), before, new))
                has.setdefault(thing, {}).update(new)
    assert len(judged) >= 5
    assert all(tags.BUILD in found for found in has.values())
    assert refused(documents.policy("nightly", PLACE), judged) == []


def test_its_security_group_is_never_tagged(asked: list[Asking]) -> None:
    """Why the policy has a statement for nameless things at all."""
    assert given(the(asked, "CreateSecurityGroup"), "TagSpecification.") == {}
    tagged = [v for one in asked for k, v in one.items() if k.startswith("ResourceId.")]
    assert [thing for thing in tagged if thing.startswith("sg-")] == []

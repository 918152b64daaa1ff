"""A thousand strings through a tag and an environment variable of a real Packer.

What is rendered is our own ``locals`` block; only the builder around it is another: no
SSH, and a step on this machine in place of those on the builder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hcl2
import pytest

from annexkit.bake.dialect import Dialect
from annexkit.bake.fields import untaggable
from annexkit.bake.hcl import Expression, UnwritableText, dump, engine, joined, quoted
from annexkit.bake.hcl import unwritable as refusal
from annexkit.bake.recipe import OUR_TAGS, Image
from annexkit.bake.template import TEMPLATE, render
from annexkit.bake.variables import run_variables
from annexkit.process import run
from tests.unit.bake.samples import BASE, PLUGIN, recipe, run_values, strings
from tests.unit.helpers import ACCOUNT, REGION

pytestmark = pytest.mark.packer
COUNT = 1000
TAGS_MAX = 45  # of the 50 that EC2 takes; Packer adds a Name
BATCHES = 2
# What our own shell steps use, on this machine.
COMMAND = ("/bin/sh", "-c", "chmod +x {{ .Script }}; env {{ .Vars }} {{ .Script }}")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A moto of this process on loopback, so that its tags can be looked at."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def carried(texts: list[str]) -> list[str]:
    """Return those that quoting accepts; each of the others is refused for a reason."""
    accepted = []
    for text in texts:
        try:
            quoted(text)
        except UnwritableText as error:
            assert refusal(text) in error.what
        else:
            accepted.append(text)
    return accepted


def test_a_thousand_strings_arrive_unchanged_or_are_refused(
    endpoint: str, tmp_path: Path
) -> None:
    texts = strings(COUNT)
    accepted = carried(texts)
    assert 900 < len(accepted) < COUNT, "both outcomes must be tried"
    assert sum(map(bool, map(untaggable, accepted))) < 20
    size = -(-len(accepted) // BATCHES)
    arrived: list[tuple[str, str]] = []
    for at in range(0, len(accepted), size):
        folder = tmp_path / str(at)
        folder.mkdir()
        arrived += through_packer(accepted[at : at + size], endpoint, folder)
    assert arrived == [(text, text) for text in accepted]


def through_packer(
    texts: list[str], endpoint: str, folder: Path
) -> list[tuple[str, str]]:
    """Return what each text became, as an environment variable and as a tag.

    Packer cannot read what EC2 says of control characters in tags; the recipe model
    refuses them there.
    """
    image = recipe(
        tags={f"t{n}": text for n, text in enumerate(texts) if not untaggable(text)},
        environment={f"V{n}": text for n, text in enumerate(texts)},
    )
    before = len(instances())
    write(image, endpoint, folder)
    run(
        *("packer", "build", f"-var-file={folder}/run.pkrvars.hcl", folder),
        env={**os.environ, "CHECKPOINT_DISABLE": "1", "PACKER_NO_COLOR": "1"},
    )
    tags = {k: v for one in instances()[before:] for k, v in one.items()}
    values = environment(folder / "environment-x0")
    assert tags["annexkit:owner"] == texts[0], "a value of the variables file"
    return [
        (values[f"V{n}"], text if untaggable(text) else tags[f"t{n}"])
        for n, text in enumerate(texts)
    ]


def write(image: Image, endpoint: str, folder: Path) -> None:
    """Write our own rendering, with builders that need no machine."""
    files = render(
        image, "x86_64", BASE, Dialect.PACKER_1_6, amazon_plugin=PLUGIN
    ).files
    full = hcl2.loads(files[TEMPLATE])
    kept = {kind: full[kind] for kind in ("packer", "variable", "locals")}
    (folder / TEMPLATE).write_text(hcl2.dumps(kept))
    document = hcl2.Builder()
    # EC2 takes 50 tags for one thing, so the tags are dealt out to several builders.
    names = [
        add_source(document, f"x{n}", at, base_ami())
        for n, at in enumerate(range(0, len(image.tags) + OUR_TAGS, TAGS_MAX))
    ]
    build = document.block("build", sources=[quoted(name) for name in names])
    build.block(
        "provisioner",
        [quoted("shell-local")],
        inline=[quoted(f'env -0 > "{folder}/environment-$PACKER_BUILD_NAME"')],
        environment_vars=str(Expression("local.environment")),
        execute_command=[engine(part) for part in COMMAND],
    )
    (folder / "build.pkr.hcl").write_text(dump(document))
    values = run_values(
        endpoint=endpoint,
        max_retries=1,
        owner=image.tags["t0"],
        ami_name=f"strings-{folder.name}",
    )
    (folder / "run.pkrvars.hcl").write_text(run_variables(values, Dialect.PACKER_1_6))


def add_source(document: hcl2.Builder, name: str, at: int, ami: str) -> str:
    chosen = f"slice(keys(local.tags), {at}, min({at + TAGS_MAX}, length(local.tags)))"
    source = document.block(
        "source",
        [quoted("amazon-ebs"), quoted(name)],
        region=str(Expression("var.region")),
        custom_endpoint_ec2=str(Expression("var.endpoint")),
        max_retries=1,
        ami_name=joined(Expression("var.ami_name"), f"-{name}"),
        source_ami=quoted(ami),
        instance_type=quoted("t3.small"),
        communicator=quoted("none"),
        run_tags=str(Expression(f"{{for k in {chosen} : k => local.tags[k]}}")),
    )
    source.block("aws_polling", delay_seconds=1, max_attempts=20)
    return f"source.amazon-ebs.{name}"


def environment(path: Path) -> dict[str, str]:
    pairs = path.read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def base_ami() -> str:
    """Make a base AMI whose root is on EBS, as Packer insists."""
    image = ec2().register_image(name="base", description="")
    image.root_device_type = "ebs"
    return str(image.id)


def instances() -> list[dict[str, str]]:
    """Return the tags of every instance there ever was, in their order."""
    return [
        {tag["key"]: tag["value"] for tag in instance.get_tags()}
        for reservation in ec2().reservations.values()
        for instance in reservation.instances
    ]


def ec2() -> Any:
    from moto.ec2.models import ec2_backends

    return ec2_backends[ACCOUNT][REGION]

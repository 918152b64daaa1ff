"""A machine that says it is AlmaLinux, and the provisioning steps on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import hcl2
import pytest

from annexkit.bake.dialect import Dialect
from annexkit.bake.image import load_image
from annexkit.bake.recipe import Image, Repository
from annexkit.bake.template import REMOTE, TEMPLATE, render
from annexkit.process import Completed, run
from annexkit.rehearsal.podman import CAPABILITIES, Podman, limits
from annexkit.rehearsal.state import LABEL, Rehearsal
from tests.rehearsal.el_world import KEYS, write_world
from tests.unit.bake.samples import BASE, IMAGES, ROOT

PLAIN = hcl2.SerializationOptions(strip_string_quotes=True, with_comments=False)
RUN = {
    "ANNEXKIT_BUILD": "20260102T030405-0a1b2c",
    "ANNEXKIT_DIGEST": "d" * 64,
    "ANNEXKIT_DATE": "2026-01-02T03:04:05Z",
}


@dataclass(frozen=True)
class World:
    """The built repositories, and the image of a machine that knows of them.

    ``fingerprints``: of each repository's key.
    """

    podman: Podman
    folder: Path
    image: str
    fingerprints: Mapping[str, str]

    def repository(self, name: str, key: str, priority: int) -> Repository:
        """Return a repository as a recipe has it, at an address that none may have."""
        return Repository.model_construct(
            url=f"file:///world/$basearch/{name}",
            key_url=f"file:///world/keys/{key}",
            key_fingerprint=self.fingerprints.get(key, self.fingerprints["osg"]),
            priority=priority,
        )

    def recipe(self, name: str) -> Image:
        """Return a real recipe, with this world's repositories under the same names."""
        image = load_image(IMAGES, name)
        here = {
            name: self.repository(name, name, found.priority)
            for name, found in image.repositories.items()
        }
        condor = image.htcondor
        if condor.source == "upstream":
            own = self.repository("htcondor", "htcondor", 90)
            mine = own.model_dump(
                exclude={"priority", "key_sha256"}, exclude_unset=True
            )
            condor = condor.model_copy(update=mine)
        return image.model_copy(update={"repositories": here, "htcondor": condor})


@dataclass(frozen=True)
class Machine:
    """A machine that a bake would start from."""

    podman: Podman
    name: str

    def run(self, *command: str, env: Mapping[str, str] | None = None) -> Completed:
        """Run a command on it as root."""
        told = [f"--env={key}={value}" for key, value in (env or {}).items()]
        asked = self.podman.command("exec", *told, self.name, *command)
        return run(*asked, check=False, timeout=300)

    def says(self, *command: str) -> str:
        """Return what a command prints; it must not fail."""
        done = self.run(*command)
        assert done.exit_code == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def has(self, path: str) -> bool:
        return self.run("test", "-e", path).exit_code == 0

    def step(self, name: str, image: Image) -> Completed:
        """Run one provisioning step, told what the template tells it."""
        script = f"{REMOTE}/provision/{name}.sh"
        return self.run("bash", script, env=environment(image))

    def steps(self, image: Image, *names: str) -> None:
        """Run steps, all of the recipe's unless told otherwise; none may fail."""
        for name in names or image.steps:
            done = self.step(name, image)
            assert done.exit_code == 0, f"{name}:\n{done.stdout}\n{done.stderr}"

    def condor(self) -> str:
        """Return which HTCondor rpm knows of."""
        return self.run("rpm", "--query", "condor").stdout.strip()

    def left_over(self) -> list[str]:
        """Return the repositories, keys and trusted keys that a bake added."""
        found = self.says(
            *("sh", "-c"),
            "ls /etc/yum.repos.d/annexkit-* /etc/pki/rpm-gpg/annexkit-* 2>/dev/null;"
            "rpm --query --all 'gpg-pubkey*' --queryformat '%{SUMMARY}\\n'",
        )
        return [line for line in found.splitlines() if "alma" not in line]


def environment(image: Image) -> dict[str, str]:
    rendered = render(image, "x86_64", BASE, Dialect.PACKER_1_6, amazon_plugin="")
    text = rendered.files[TEMPLATE]
    (local,) = hcl2.loads(text, serialization_options=PLAIN)["locals"]
    told = dict(line.split("=", 1) for line in local["environment"])
    return told | RUN


def building(podman: Podman, name: str, folder: Path, image: str) -> list[str]:
    files, processes = limits()
    return podman.command(
        *("run", "--interactive", "--network=host", "--name", name),
        *(f"--label={LABEL}={podman.rehearsal}", f"--volume={folder}:/world"),
        f"--ulimit=nofile={files}:{files}",
        f"--ulimit=nproc={processes}:{processes}",
        *(image, "sh", "-s"),
    )


def fingerprint(folder: Path, key: str) -> str:
    shown = ("--show-keys", "--with-colons", folder / "keys" / key)
    said = run("gpg", "--homedir", folder / "keys", "--batch", *shown).stdout
    return next(line.split(":")[9] for line in said.splitlines() if "fpr:" in line)


@pytest.fixture(scope="module")
def world(
    _rehearsal: Rehearsal, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    podman = Podman(_rehearsal.id, _rehearsal.runtime)
    folder = tmp_path_factory.mktemp("world")
    name = f"{_rehearsal.network}-el"
    ref = f"localhost/{name}:latest"
    script = write_world(folder)
    try:
        made = building(podman, name, folder, _rehearsal.base.ref)
        run(*made, stdin=script, timeout=600)
        podman.commit(name, ref)
        podman.remove(name)
        yield World(
            podman, folder, ref, {key: fingerprint(folder, key) for key in KEYS}
        )
    finally:
        podman.remove(name)
        if podman.has_image(ref):
            podman.remove_image(ref)


@pytest.fixture
def machine(world: World) -> Iterator[Machine]:
    """A machine without any network, with the tree that Packer uploads."""
    podman, name = world.podman, f"annexkit-{world.podman.rehearsal}-{uuid4().hex[:8]}"
    files, processes = limits()
    try:
        podman.call(
            *("run", "--detach", "--systemd=always", "--network=none", "--name", name),
            *(f"--label={LABEL}={podman.rehearsal}",),
            *(f"--cap-add={capability}" for capability in CAPABILITIES),
            f"--volume={world.folder}:/world:ro",
            f"--ulimit=nofile={files}:{files}",
            f"--ulimit=nproc={processes}:{processes}",
            *(world.image, "/sbin/init"),
        )
        found = Machine(podman, name)
        state = found.run("systemctl", "is-system-running", "--wait").stdout.strip()
        assert state in ("running", "degraded"), state
        found.says("mkdir", "-p", REMOTE)
        podman.call("cp", ROOT / "provision", f"{name}:{REMOTE}/provision")
        yield found
    finally:
        podman.remove(name)

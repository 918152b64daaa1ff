"""A rehearsal comes up, survives a kill, stands beside another, and leaves nothing."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from annexkit.errors import UsageError
from annexkit.rehearsal import control, state
from annexkit.rehearsal.podman import Podman
from annexkit.rehearsal.state import Rehearsal
from annexkit.sections import RehearsalSettings
from tests.rehearsal.conftest import CACHE, bring_up
from tests.rehearsal.guests import Region, eventually

pytestmark = pytest.mark.machines

SETTINGS = RehearsalSettings(dir="own", machines=2)


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """The folder of a clone whose rehearsal is taken down in the end."""
    yield tmp_path
    control.down(SETTINGS, tmp_path)


def server_of(rehearsal: Rehearsal) -> int:
    process = state.load_server(rehearsal.dir)
    assert process is not None
    return process.pid


def labelled(rehearsal: Rehearsal) -> list[str]:
    """Return everything that podman has of a rehearsal."""
    podman = Podman(rehearsal.id)
    return [*podman.machines(), *podman.images(), *podman.networks()]


def populate(rehearsal: Rehearsal) -> str:
    """Make a machine and an image, and a registry that names them."""
    control.ask(rehearsal, "knobs", "POST", {"never_boots": True})
    region = Region(rehearsal, "us-west-2")
    identity = region.running()
    region.create_image(identity)
    registry = Path(state.environment(rehearsal)["INVOKE_ANNEXKIT_REGISTRY"])
    registry.parent.mkdir()
    registry.write_text("{}")
    return identity


def test_up_does_nothing_when_it_is_up_and_down_leaves_nothing(clone: Path) -> None:
    rehearsal = bring_up(clone, SETTINGS)
    server = server_of(rehearsal)
    identity = populate(rehearsal)
    assert bring_up(clone, SETTINGS) == rehearsal
    assert server_of(rehearsal) == server
    found = control.status(SETTINGS, clone)
    assert (found.alive, found.endpoint) == (True, rehearsal.endpoint)
    (machine,) = found.machines
    assert (machine["instance"], machine["state"]) == (identity, "running")
    assert len(found.images) == 1
    assert control.shell(SETTINGS, clone, identity)[-3:] == [
        machine["container"],
        "/bin/bash",
        "-l",
    ]
    with pytest.raises(UsageError, match="no machine 'i-0'"):
        control.console(SETTINGS, clone, "i-0")
    assert control.down(SETTINGS, clone)
    assert labelled(rehearsal) == []
    assert not Path(f"/proc/{server}").exists()
    assert not control.status(SETTINGS, clone).alive
    assert Podman(rehearsal.id).has_image(rehearsal.base.ref), "a cache is kept"
    assert not control.down(SETTINGS, clone)


def test_after_a_kill_up_cleans_what_lies_about(clone: Path) -> None:
    before = bring_up(clone, SETTINGS)
    populate(before)
    old = set(labelled(before))
    assert len(old) == 3
    os.kill(server_of(before), signal.SIGKILL)
    eventually(lambda: not state.load_server(before.dir), "the server's end")
    with pytest.raises(UsageError, match="not up"):
        control.running(SETTINGS, clone)
    after = bring_up(clone, SETTINGS)
    assert after.port == before.port, "a port that was chosen is kept"
    assert labelled(after) == [after.network]
    assert control.status(SETTINGS, clone).machines == []
    assert not (after.dir / state.REGISTRY).exists()
    assert (after.dir / "before" / state.REGISTRY / "ami_registry.json").exists()


def test_the_server_takes_its_machines_with_it_when_it_is_told_to_end(
    clone: Path,
) -> None:
    rehearsal = bring_up(clone, SETTINGS)
    populate(rehearsal)
    os.kill(server_of(rehearsal), signal.SIGTERM)
    eventually(lambda: not state.load_server(rehearsal.dir), "the server's end")
    assert Podman(rehearsal.id).machines() == []


def test_two_stand_side_by_side_and_come_up_together(clone: Path) -> None:
    roots = [clone, clone / "other"]
    roots[1].mkdir()
    try:
        with ThreadPoolExecutor(2) as together:
            up = list(together.map(lambda r: bring_up(r, SETTINGS), roots))
        assert len({r.id for r in up}) == len({r.port for r in up}) == 2
        assert len({r.subnet for r in up}) == 2
        populate(up[0])
        assert control.status(SETTINGS, roots[1]).machines == []
        control.down(SETTINGS, roots[1])
        assert len(control.status(SETTINGS, roots[0]).machines) == 1
    finally:
        control.down(SETTINGS, roots[1])


@pytest.mark.usefixtures("rehearsal")
def test_what_is_taken_is_named(rehearsal: Rehearsal, clone: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} is taken"):
            up(clone, port=port)
    with pytest.raises(UsageError, match="is taken: podman's network"):
        up(clone, subnet=rehearsal.subnet)


def up(root: Path, **changes: object) -> Rehearsal:
    settings = RehearsalSettings.model_validate({**SETTINGS.model_dump(), **changes})
    return control.up(settings, root, cache=CACHE)

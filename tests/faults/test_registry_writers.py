"""Many writers, full disks and killed writers: the registry loses nothing."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from annexkit.files import FileError
from annexkit.registry import Registry, RegistryFile, State
from annexkit.registry.edits import put_build, set_candidate, set_proved
from annexkit.waiting import wait_for
from tests.unit.helpers import NOON, a_build, ami_id, in_region

SPAWN = multiprocessing.get_context("spawn")
REGIONS = ("us-east-1", "us-west-2", "eu-west-1")


def build_of(writer: int, number: int) -> str:
    return f"20240517T{writer:02d}0000-{number:06x}"


def write_builds(path: str, done: str, writer: int, count: int) -> None:
    """Write builds of one's own, and note each once it is on disk."""
    file = RegistryFile(Path(path))
    notes = os.open(done, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number in range(count):
        one, ami = build_of(writer, number), ami_id(writer * 1000 + number)
        region = REGIONS[number % len(REGIONS)]

        def change(
            registry: Registry, one: str = one, ami: str = ami, region: str = region
        ) -> None:
            put_build(registry, "debian13", one, a_build({region: in_region(ami=ami)}))
            set_candidate(registry, "debian13", one, region)

        file.update(change)
        os.write(notes, f"{one} {region}\n".encode())


def write_regions(path: str, one: str, region: str, ami: str) -> None:
    """Put the same build in one's own region, as parallel copies do."""

    def change(registry: Registry) -> None:
        there = {region: in_region(State.PENDING, ami)}
        put_build(registry, "debian13", one, a_build(there))
        set_proved(registry, "debian13", one, region, at=NOON, boot_seconds=1.0)

    RegistryFile(Path(path)).update(change)


def start(target: object, *arguments: object) -> BaseProcess:
    assert callable(target)
    process = SPAWN.Process(target=target, args=arguments)
    process.start()
    return process


def join(processes: list[BaseProcess]) -> None:
    for process in processes:
        process.join(timeout=300)
        assert process.exitcode == 0


def noted(done: Path) -> set[tuple[str, str]]:
    lines = done.read_text().splitlines() if done.exists() else []
    return {(one, region) for one, region in (line.split() for line in lines)}


def written(path: Path) -> set[tuple[str, str]]:
    builds = RegistryFile(path).read().images["debian13"].builds
    return {(one, region) for one, build in builds.items() for region in build.regions}


def assert_tidy(path: Path, *others: str) -> None:
    json.loads(path.read_text())
    names = {p.name for p in path.parent.iterdir()}
    assert names == {path.name, f"{path.name}.lock", *others}


@pytest.mark.parametrize(
    ("writers", "writes"),
    [(4, 10), pytest.param(16, 50, marks=pytest.mark.matrix)],
)
def test_parallel_writers_lose_nothing(
    tmp_path: Path, writers: int, writes: int
) -> None:
    path, done = tmp_path / "r.json", tmp_path / "done"
    join(
        [
            start(write_builds, str(path), str(done), writer, writes)
            for writer in range(writers)
        ]
    )
    expected = {
        (build_of(writer, number), REGIONS[number % len(REGIONS)])
        for writer in range(writers)
        for number in range(writes)
    }
    assert written(path) == noted(done) == expected
    assert_tidy(path, "done")


def test_parallel_writers_of_one_build_merge_their_regions(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    one = build_of(0, 0)
    regions = [f"eu-west-{n}" for n in range(1, 7)]
    join(
        [
            start(write_regions, str(path), one, region, ami_id(n))
            for n, region in enumerate(regions)
        ]
    )
    build = RegistryFile(path).read().images["debian13"].builds[one]
    assert {r: there.state for r, there in build.regions.items()} == dict.fromkeys(
        regions, State.READY
    )


@pytest.mark.parametrize(
    "rounds", [2, pytest.param(25, marks=pytest.mark.matrix)], ids=str
)
def test_a_killed_writer_loses_nothing_that_it_had_written(
    tmp_path: Path, rounds: int
) -> None:
    path, done = tmp_path / "r.json", tmp_path / "done"
    for turn in range(rounds):
        before = len(noted(done))
        victim = start(write_builds, str(path), str(done), turn, 10_000)
        try:
            wait_for(
                lambda goal=before + 3 + turn: len(noted(done)) >= goal,  # type: ignore[misc]
                what="some writes",
                timeout=60,
                poll=0.001 * (turn % 5 + 1),
            )
        finally:
            assert victim.pid is not None
            os.kill(victim.pid, signal.SIGKILL)
            victim.join()
        # At most the write that was under way is there without its note.
        assert noted(done) <= written(path)
        assert len(written(path) - noted(done)) <= turn + 1
        write_regions(str(path), build_of(99 - turn, 0), "us-east-1", ami_id(99))
        done.open("a").write(f"{build_of(99 - turn, 0)} us-east-1\n")


def write_with_a_small_quota(path: str, said: str) -> None:
    """Try to write more than the system lets this process write into one file."""
    size = Path(path).stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, size + 100))

    def change(registry: Registry) -> None:
        put_build(registry, "debian13", build_of(1, 1), a_build())

    try:
        RegistryFile(Path(path)).update(change)
    except FileError as error:
        Path(said).write_text(str(error))


def test_a_disk_that_takes_no_more_leaves_the_old_registry(tmp_path: Path) -> None:
    path, done, said = (tmp_path / name for name in ("r.json", "done", "said"))
    write_builds(str(path), str(done), 0, 3)
    before = path.read_bytes()
    join([start(write_with_a_small_quota, str(path), str(said))])
    assert "File too large" in said.read_text()
    assert "make room" in said.read_text()
    assert path.read_bytes() == before
    assert_tidy(path, "done", "said")
    write_builds(str(path), str(done), 1, 1)
    assert len(written(path)) == 4

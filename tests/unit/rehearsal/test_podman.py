from __future__ import annotations

import json
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from annexkit.process import CommandError, Completed
from annexkit.rehearsal import podman
from annexkit.rehearsal.podman import MachineSpec, Podman, machine_arguments

SPEC = MachineSpec(
    name="annexkit-01234567-i-1",
    image="localhost/x",
    address="10.128.0.10",
    mac="02:00:00:00:00:10",
    hostname="ip-10-128-0-10",
    labels=(("annexkit.instance", "i-1"),),
    mounts=((Path("/tmp/f"), "/usr/local/sbin/dmidecode", "ro"),),
)


def test_a_machine_is_not_privileged_and_cannot_mount() -> None:
    arguments = machine_arguments("01234567", SPEC, "net")
    assert "--privileged" not in arguments
    assert not any("SYS_ADMIN" in a or "unmask" in a for a in arguments)


def test_a_machine_carries_its_rehearsals_label_and_its_own_address() -> None:
    arguments = machine_arguments("01234567", SPEC, "net")
    assert "--label=annexkit.rehearsal=01234567" in arguments
    assert "--label=annexkit.instance=i-1" in arguments
    assert "net:ip=10.128.0.10,mac=02:00:00:00:00:10" in arguments
    assert "--volume=/tmp/f:/usr/local/sbin/dmidecode:ro" in arguments


def test_limits_are_never_above_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {resource.RLIMIT_NOFILE: (1024, 4096), resource.RLIMIT_NPROC: (100, 200)}
    monkeypatch.setattr(resource, "getrlimit", ours.__getitem__)
    assert podman.limits() == (4096, 200)


def test_limits_have_an_end_where_ours_have_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    infinite = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda _: (infinite, infinite))
    files, processes = podman.limits()
    assert (files, processes) == (1 << 20, podman.MOST_PROCESSES)


def test_a_network_that_goes_meanwhile_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*args: str | Path, **_: object) -> Completed:
        words = tuple(str(a) for a in args)
        if "ls" in words:
            return Completed(words, 0, "here\ngone\nbare\n", "")
        if words[-1] == "gone":
            return Completed(words, 125, "[]", "network not found")
        subnets = [{"subnet": "10.1.0.0/20"}] if words[-1] == "here" else None
        return Completed(words, 0, json.dumps([{"subnets": subnets}]), "")

    monkeypatch.setattr(podman, "run", run)
    assert list(Podman("01234567").subnets()) == [("here", "10.1.0.0/20")]


class Runtimes:
    """A machine on which only some OCI runtimes start a container."""

    def __init__(self, *working: str) -> None:
        self.working = working
        self.tried: list[str] = []

    def run(self, *args: str | Path) -> Completed:
        words = [str(a) for a in args]
        if words[1] == "info":
            return Completed(("podman",), 0, "crun\n", "")
        name = words[words.index("--runtime") + 1]
        self.tried.append(name)
        done = Completed(("podman",), 0, "", f"{name} does not work here")
        if name not in self.working:
            raise CommandError(done)
        return done


def test_the_runtime_is_chosen_by_what_works(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Runtimes("runc")
    monkeypatch.setattr(podman, "run", here.run)
    assert podman.working_runtime("image") == "runc"
    assert here.tried == ["crun", "runc"]
    assert podman.working_runtime("image", "runc") == "runc"
    assert here.tried == ["crun", "runc", "runc"]


def test_no_runtime_that_works_is_an_error_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(podman, "run", Runtimes().run)
    with pytest.raises(CommandError, match="does not work here"):
        podman.working_runtime("image")


def test_a_console_is_the_log_without_podmans_own_words() -> None:
    log = (
        b"2026-11-22T22:37:24.1+00:00 stdout F one  line\r\n"
        b"2026-11-22T22:37:24.2+00:00 stdout P a long\n"
        b"2026-11-22T22:37:24.3+00:00 stdout F  one\r\n"
        b"2026-11-22T22:37:24.4+00:00 stdout F \r\n"
        b"2026-11-22T22:37:24.5+00:00 std"
    )
    assert podman.console_text(log) == "one  line\na long one\n\n"


def test_podman_is_asked_once_where_a_console_lies(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "ctr.log"
    asked = []

    def run(*command: str, check: bool) -> Completed:
        asked.append(command[-1])
        code = 0 if log.exists() else 125
        return Completed(command, code, f"{log}\n", "")

    monkeypatch.setattr(podman, "run", run)
    door = Podman("01234567")
    assert door.console("one") == "", "not made yet"
    for text in ("first", "second"):
        log.write_text(f"2026-11-22T22:37:24.1+00:00 stdout F {text}\n")
        assert door.console("one") == f"{text}\n"
    log.unlink()
    assert door.console("one") == "", "it is gone"
    assert asked == ["one", "one"]


def test_the_names_of_a_rehearsal_go_with_it_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = "localhost/annexkit-base:trixie-1"
    ours = [f"localhost/annexkit-01234567/us-west-2:ami-{n}" for n in range(2)]
    others = "localhost/annexkit-89abcdef/us-west-2:ami-0"
    asked: list[tuple[str, ...]] = []

    def run(*command: str, timeout: float) -> Completed:
        asked.append(command[1:])
        listed = " ".join(command[1:]) == "images --format {{.Repository}}:{{.Tag}}"
        said = "\n".join([base, others, *ours]) if listed else ""
        return Completed(command, 0, said, "")

    monkeypatch.setattr(podman, "run", run)
    Podman("01234567").remove_everything()
    assert [call for call in asked if call[0] in ("untag", "rmi")] == [
        ("untag", ours[0], *ours)
    ]


@pytest.mark.parametrize("second", ["tag", "remove"])
def test_two_names_of_images_are_never_written_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch, second: str
) -> None:
    """podman 4.3 loses one of them."""
    met: list[bool] = []
    both = threading.Barrier(2)

    def run(*args: str | Path, **_: object) -> Completed:
        try:
            both.wait(timeout=0.2)
            met.append(True)
        except threading.BrokenBarrierError:
            met.append(False)
        return Completed(tuple(str(a) for a in args), 0, "", "")

    monkeypatch.setattr(podman, "run", run)
    one = Podman("01234567")
    work = [partial(one.tag, "base", "a"), partial(one.tag, "base", "b")]
    if second == "remove":
        work[1] = partial(one.remove_image, "b")
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(each) for each in work]:
            done.result()
    assert met == [False, False]

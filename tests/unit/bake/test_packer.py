"""Runs of the real Packer: the null builder with shell-local steps."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from annexkit import processes
from annexkit.bake import packer
from annexkit.bake.manifest import ManifestError
from annexkit.bake.packer_log import Event, GuestLine
from annexkit.errors import Interrupted
from annexkit.stopping import stoppable
from annexkit.waiting import wait_for

pytestmark = pytest.mark.packer

TEMPLATE = """
variable "manifest" {
  type = string
}
source "null" "image" {
  communicator = "none"
}
build {
  sources = ["source.null.image"]
  provisioner "shell-local" {
    script = "${path.root}/first.sh"
  }
  provisioner "shell-local" {
    script = "${path.root}/second.sh"
  }
}
"""
# What a killed annexkit was: it only builds, and says Packer's pid as soon as it knows.
PARENT = """
import sys
from pathlib import Path
from annexkit.bake import packer
folder = Path(sys.argv[1])
packer.build(
    packer.find_packer(), folder, manifest=folder / "m.json", log=folder / "log",
    started=lambda pid, start: print(pid, start, flush=True),
)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "t.pkr.hcl").write_text(TEMPLATE)
    (tmp_path / "run.pkrvars.hcl").write_text('manifest = "unused"\n')
    script(tmp_path / "first.sh", "echo first")
    script(tmp_path / "second.sh", "echo second")
    return tmp_path


def script(path: Path, *lines: str) -> None:
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)


def build(folder: Path, **options: object) -> packer.BuildResult:
    return packer.build(
        packer.find_packer(),
        folder,
        manifest=folder / "manifest.json",
        log=folder / "log",
        **{"timeout": 60, **options},  # type: ignore[arg-type]
    )


def failure(folder: Path, **options: object) -> packer.PackerError:
    with pytest.raises(packer.PackerError) as caught:
        build(folder, **options)
    return caught.value


def when(text: str, act: Callable[[], object]) -> Callable[[Event], None]:
    """A callback that acts once the guest has printed *text*."""

    def on_event(event: Event) -> None:
        if isinstance(event, GuestLine) and event.text == text:
            act()

    return on_event


def ended_by_itself(log: Path) -> bool:
    """Packer was not killed: it said its last words, after its clean-up.

    The signal reaches the step's own program, too; when that dies first, Packer takes
    it for a failed step.
    """
    last = log.read_text().splitlines()[-1]
    return "Cleanly cancelled builds" in last or "no artifacts were created" in last


@contextlib.contextmanager
def gone_afterwards() -> Iterator[Callable[[int, int], None]]:
    """Check that the Packer that was started is no more, with all of its group."""
    known: list[tuple[int, int]] = []
    yield lambda pid, start_time: known.append((pid, start_time))
    ((pid, start_time),) = known
    assert start_time > 0
    assert not processes.same_process(pid, start_time)
    # What was killed is there until the kernel has had time for it (signal(7)).
    wait_for(
        lambda: not processes.group_members(pid),
        what=f"the end of {processes.group_members(pid)}",
        timeout=10,
        poll=0.02,
    )


def test_a_build_that_ends_well_but_wrote_no_manifest_is_an_error(
    folder: Path,
) -> None:
    events: list[Event] = []
    with gone_afterwards() as started, pytest.raises(ManifestError, match="not write"):
        build(folder, on_event=events.append, started=started)
    assert [e.text for e in events if isinstance(e, GuestLine)] == ["first", "second"]


def test_a_failing_step_is_named_with_its_last_lines(folder: Path) -> None:
    script(folder / "second.sh", "seq -f 'line %.0f' 30", "echo bad >&2", "exit 7")
    error = failure(folder)
    assert "exit status: 7" in error.what
    assert error.where == str(folder / "log")
    assert "invoke reap" in error.mend
    assert error.guest[-1] in ("bad", "line 30")  # two streams, so any order
    assert len(error.guest) == 20
    assert "first" not in error.guest
    shown = "\n".join(str(f) for f in error.findings)
    assert "line 30" in shown
    assert "line 5\n" not in shown


def test_an_error_in_the_template_comes_in_packers_words(folder: Path) -> None:
    (folder / "t.pkr.hcl").write_text(TEMPLATE.replace("communicator", "comunicator"))
    assert "comunicator" in failure(folder).what
    with pytest.raises(packer.PackerError, match="comunicator"):
        packer.validate(packer.find_packer(), folder)


def test_a_good_template_is_valid_and_needs_no_init(folder: Path) -> None:
    found = packer.find_packer()
    packer.validate(found, folder)
    if not found.dialect.plugins:
        packer.init(found, folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_us_ends_packer_and_its_steps(
    folder: Path, number: signal.Signals
) -> None:
    script(folder / "first.sh", "echo begun", "exec sleep 60")
    act = when("begun", lambda: os.kill(os.getpid(), number))
    with (
        gone_afterwards() as started,
        pytest.raises(Interrupted, match=number.name),
        stoppable(),
    ):
        build(folder, on_event=act, started=started, grace=20)
    assert ended_by_itself(folder / "log")


def test_another_thread_can_stop_it(folder: Path) -> None:
    script(folder / "first.sh", "echo begun", "exec sleep 60")
    stop = threading.Event()
    with gone_afterwards() as started, pytest.raises(Interrupted):
        build(folder, on_event=when("begun", stop.set), started=started, stop=stop)


def test_a_build_that_takes_too_long_is_ended(folder: Path) -> None:
    script(folder / "first.sh", "echo begun", "exec sleep 60")
    with gone_afterwards() as started:
        error = failure(folder, timeout=1.5, grace=10, started=started)
    assert "not within 1.5 s" in error.what


def test_one_that_will_not_clean_up_is_killed_after_the_grace(folder: Path) -> None:
    script(folder / "first.sh", "trap '' TERM", "echo begun", "sleep 60; sleep 60")
    stop = threading.Event()
    with gone_afterwards() as started, pytest.raises(Interrupted):
        build(
            folder,
            on_event=when("begun", stop.set),
            started=started,
            stop=stop,
            grace=0.3,
        )


def test_a_callback_that_breaks_still_lets_packer_clean_up(folder: Path) -> None:
    script(folder / "first.sh", "echo begun", "exec sleep 60")

    def broken(event: Event) -> None:
        raise ZeroDivisionError

    with gone_afterwards() as started, pytest.raises(ZeroDivisionError):
        build(folder, on_event=broken, started=started, grace=20)
    assert ended_by_itself(folder / "log")


def test_when_we_are_killed_packer_cancels_cleans_up_and_ends(folder: Path) -> None:
    script(folder / "first.sh", "echo begun", "sleep 1")
    script(folder / "second.sh", "echo not reached")
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid, start_time = map(int, parent.stdout.readline().split())
        log = folder / "log"
        wait_for(
            lambda: "begun" in log.read_text(), what="begun", timeout=20, poll=0.05
        )
        assert processes.same_process(pid, start_time)
        parent.kill()
    wait_for(
        lambda: not processes.group_members(pid),
        what="the end of Packer",
        timeout=20,
        poll=0.05,
    )
    # All it said after our death is in the log, so no broken pipe cut its clean-up.
    assert "Cancelling build after receiving terminated" in log.read_text()
    assert "Cleanly cancelled builds" in log.read_text()
    assert "not reached" not in log.read_text()


def test_reap_can_end_it_by_pid_and_start_time(folder: Path) -> None:
    script(folder / "first.sh", "echo begun", "exec sleep 60")
    known: list[tuple[int, int]] = []

    def reap() -> None:
        ((pid, start_time),) = known
        threading.Thread(
            target=processes.end_group, args=(pid, start_time), kwargs={"grace": 20}
        ).start()

    failure(
        folder,
        on_event=when("begun", reap),
        started=lambda pid, start_time: known.append((pid, start_time)),
    )
    assert ended_by_itself(folder / "log")


def test_credentials_reach_packer_and_its_debug_log_does_not_reach_us(
    folder: Path,
) -> None:
    script(folder / "first.sh", 'echo "key $AWS_ACCESS_KEY_ID ${PACKER_LOG:-none}"')
    script(folder / "second.sh", "exit 1")
    events: list[Event] = []
    env = {**os.environ, "AWS_ACCESS_KEY_ID": "mine", "PACKER_LOG": "1"}
    failure(folder, env=env, on_event=events.append)
    assert any(e.text == "key mine none" for e in events)

"""``scripts/prepare-machine`` says what is missing and how to mend it.

The real script runs, with a PATH on which some programs are ours.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from annexkit.process import Completed, run

pytestmark = pytest.mark.usefixtures("real_processes")
SCRIPT = Path(__file__).parents[2] / "scripts" / "prepare-machine"


def prepare(path: Path, *arguments: str) -> Completed:
    return run(
        "/bin/bash",
        SCRIPT,
        *arguments,
        check=False,
        env={"PATH": f"{path}:{os.environ['PATH']}"},
    )


def program(folder: Path, name: str, body: str) -> None:
    script = folder / name
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)


def test_a_set_that_is_none_is_refused(tmp_path: Path) -> None:
    done = prepare(tmp_path, "everything")
    assert done.exit_code == 2
    assert "unknown set 'everything'" in done.stderr
    assert "mend: one of: python tool lint machine" in done.stderr


def test_another_system_than_linux_is_told_what_to_use(tmp_path: Path) -> None:
    program(tmp_path, "uname", "echo Darwin")
    done = prepare(tmp_path)
    assert done.exit_code == 2
    assert "this is Darwin" in done.stderr
    assert "mend: use a Debian 12" in done.stderr


def test_a_full_disk_is_told_how_much_it_takes(tmp_path: Path) -> None:
    program(tmp_path, "df", "echo Avail; echo 1200000")
    done = prepare(tmp_path, "machine")
    if "the set-up knows Debian only" in done.stderr:
        pytest.skip("not a Debian")
    assert done.exit_code == 2
    assert "only 1200 MB are free" in done.stderr
    assert "needs 3000 MB" in done.stderr


def test_when_nothing_is_missing_nothing_is_done(tmp_path: Path) -> None:
    program(tmp_path, "apt-get", "echo called >&2; exit 1")
    done = prepare(tmp_path, "python")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("name", "missing", "not_wanted"),
    [("lint", "shfmt", "podman"), ("tool", "packer", "shfmt")],
)
def test_a_missing_package_without_root_is_named_with_the_command(
    tmp_path: Path, name: str, missing: str, not_wanted: str
) -> None:
    program(tmp_path, "id", "echo 1000")
    program(tmp_path, "apt-get", "echo called >&2; exit 1")
    # A PATH without the tools: only what the script itself needs.
    for needed in ("uname", "tail", "df", "sh"):
        for folder in ("/usr/bin", "/bin"):
            if Path(folder, needed).exists():
                (tmp_path / needed).symlink_to(Path(folder, needed))
                break
    done = run("/bin/bash", SCRIPT, name, check=False, env={"PATH": str(tmp_path)})
    if "the set-up knows Debian only" in done.stderr:
        pytest.skip("not a Debian")
    assert done.exit_code == 2
    assert missing in done.stderr
    assert not_wanted not in done.stderr
    assert "mend: sudo apt-get install --yes" in done.stderr
    assert "called" not in done.stderr

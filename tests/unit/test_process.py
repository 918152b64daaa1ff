"""The door to other programs, tried with real ones."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from annexkit.process import CommandError, run

pytestmark = pytest.mark.usefixtures("real_processes")


def python(code: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code, *arguments)


def test_both_outputs_and_the_exit_code_come_back_as_text() -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    done = run(*python(code), check=False)
    assert (done.exit_code, done.stdout, done.stderr) == (3, "out\n", "err\n")


def test_arguments_reach_the_program_without_a_shell() -> None:
    odd = "$HOME; `id` * 'x' \"y\"\n"
    done = run(*python("import sys; sys.stdout.write(sys.argv[1])", odd))
    assert done.stdout == odd


def test_a_path_is_an_argument_like_any_other(tmp_path: Path) -> None:
    done = run(
        *python("import os, sys; print(os.getcwd() == sys.argv[1])"),
        tmp_path,
        cwd=tmp_path,
    )
    assert done.stdout == "True\n"


@pytest.mark.parametrize("given", ["grüße", "grüße".encode()])
def test_standard_input_is_what_was_given(given: str | bytes) -> None:
    copy = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"
    assert run(*python(copy), stdin=given).stdout == "grüße"


def test_without_input_the_program_reads_nothing_and_does_not_wait() -> None:
    assert run(*python("import sys; print(repr(sys.stdin.read()))")).stdout == "''\n"


def test_the_environment_is_the_given_one_and_no_other() -> None:
    code = "import os; print(os.environ.get('ONLY'), 'HOME' in os.environ)"
    assert run(*python(code), env={"ONLY": "this"}).stdout == "this False\n"


def test_output_that_is_no_utf8_does_not_break_anything() -> None:
    code = r"import sys; sys.stdout.buffer.write(b'\xff\xfe!')"
    assert run(*python(code)).stdout.endswith("!")


def test_a_failing_program_is_an_error_with_its_last_words() -> None:
    code = "import sys; sys.stderr.write('x' * 5000 + 'the point'); sys.exit(9)"
    with pytest.raises(CommandError) as caught:
        run(*python(code))
    assert "exit code 9" in caught.value.what
    assert caught.value.what.endswith("the point")
    assert len(caught.value.what) < 2200
    assert caught.value.done.exit_code == 9
    assert sys.executable in caught.value.where


def test_a_program_that_fails_without_stderr_is_quoted_from_stdout() -> None:
    with pytest.raises(CommandError, match="from stdout"):
        run(*python("import sys; print('from stdout'); sys.exit(1)"))


def test_an_expected_exit_code_is_no_error() -> None:
    assert run(*python("raise SystemExit(4)"), ok=(0, 4)).exit_code == 4
    with pytest.raises(CommandError):
        run(*python("raise SystemExit(5)"), ok=(0, 4))


def test_a_missing_program_names_itself_and_the_mend() -> None:
    with pytest.raises(CommandError) as caught:
        run("no-such-program-anywhere", check=False)
    assert "'no-such-program-anywhere' is not installed" in caught.value.what
    assert caught.value.mend == "install no-such-program-anywhere"
    assert caught.value.done.exit_code == 127


def test_a_program_that_takes_too_long_is_killed_and_said_so() -> None:
    forever = "import signal; print('began', flush=True); signal.pause()"
    with pytest.raises(CommandError, match=r"did not end within 0\.5 s") as caught:
        run(*python(forever), timeout=0.5)
    assert caught.value.done.exit_code == 124


def test_a_file_that_may_not_be_executed_is_an_error_a_person_can_read(
    tmp_path: Path,
) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    with pytest.raises(CommandError) as caught:
        run(script)
    assert str(script) in caught.value.what
    assert caught.value.mend


def test_a_missing_working_directory_is_not_blamed_on_the_program(
    tmp_path: Path,
) -> None:
    with pytest.raises(CommandError, match="could not be started") as caught:
        run(sys.executable, cwd=tmp_path / "gone")
    assert str(tmp_path / "gone") in caught.value.what

"""Events out of Packer's machine-readable output; the lines are as 1.6.6 wrote them."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from annexkit.bake.packer_log import (
    COMMA,
    GUEST_LINES,
    Event,
    GuestLine,
    LogReader,
    LogTail,
    Phase,
    Problem,
    Step,
    unescape,
)

NAME = "amazon-ebs.image"


def ui(kind: str, text: str, at: int = 7) -> str:
    data = text.replace(",", COMMA).replace("\n", "\\n")
    return f"{at},,ui,{kind},{data}"


def read(*lines: str) -> tuple[LogReader, list[Event]]:
    reader = LogReader()
    return reader, [event for line in lines for event in reader.read(line)]


def script(name: str) -> str:
    path = f"packer/build/x/../../../provision/{name}"
    return ui("say", f"==> {NAME}: Provisioning with shell script: {path}")


def test_a_step_has_phase_words_and_time() -> None:
    _, events = read(
        ui("say", f"==> {NAME}: Creating temporary keypair: packer_1", 3),
        ui("say", f"==> {NAME}: Waiting for AMI to become ready...", 9),
    )
    assert events == [
        Step(Phase.PREPARE, "Creating temporary keypair: packer_1", 3.0),
        Step(Phase.IMAGE, "Waiting for AMI to become ready...", 9.0),
    ]


def test_a_provisioning_step_is_called_by_its_file() -> None:
    reader, _ = read(script("20-htcondor.sh"))
    assert reader.step is not None
    assert reader.step.label == "20-htcondor.sh"


def test_commands_in_the_template_are_not_called_by_a_random_name() -> None:
    said = "Provisioning with shell script: /tmp/packer-shell1884672953"
    reader, _ = read(ui("say", f"==> {NAME}: {said}"))
    assert reader.step is not None
    assert reader.step.label == "inline commands"


def test_both_outputs_of_the_guest_are_the_guests() -> None:
    _, events = read(
        script("10-system.sh"),
        ui("message", f"    {NAME}: one, two"),
        ui("error", f"==> {NAME}: W: a warning of apt"),
        ui("error", f"==> {NAME}: three\n==> {NAME}: four"),
    )
    said = [e.text for e in events if isinstance(e, GuestLine)]
    assert said == ["one, two", "W: a warning of apt", "three", "four"]


def test_an_error_outside_provisioning_is_packers() -> None:
    reader, events = read(ui("error", f"==> {NAME}: Error launching source instance"))
    assert events == [Problem("Error launching source instance", at=7.0)]
    assert reader.errors == ["Error launching source instance"]


def test_a_failed_script_is_explained_by_step_error_and_last_lines() -> None:
    reader, _ = read(
        script("10-system.sh"),
        ui("message", f"    {NAME}: of the step before"),
        script("20-htcondor.sh"),
        *(ui("message", f"    {NAME}: line {n}") for n in range(50)),
        ui("say", f"==> {NAME}: Provisioning step had errors: Running the cleanup"),
        ui("say", f"==> {NAME}: Terminating the source AWS instance..."),
        ui("error", f"Build '{NAME}' errored after 3 s: Script exited: 7."),
        ui("error", "\n==> Some builds didn't complete successfully and had errors:"),
        f"7,{NAME},error,Script exited: 7.Allowed exit codes are: [0]",
    )
    assert reader.failed_step is not None
    assert reader.failed_step.label == "20-htcondor.sh"
    assert reader.errors == ["Script exited: 7.Allowed exit codes are: [0]"]
    assert list(reader.guest) == [f"line {n}" for n in range(50 - GUEST_LINES, 50)]


def test_a_cancelled_build_is_a_problem_and_not_the_guests_words() -> None:
    reader, events = read(
        script("10-system.sh"),
        ui("error", "Cancelling build after receiving terminated"),
    )
    assert events[-1] == Problem("Cancelling build after receiving terminated", at=7)
    assert not reader.guest
    assert reader.cancelled


def test_what_is_no_record_is_a_problem_and_blank_lines_are_nothing() -> None:
    reader, events = read("panic: runtime error", "", "   ")
    assert events == [Problem("panic: runtime error")]
    assert reader.errors == ["panic: runtime error"]


def test_artifacts_and_other_records_are_no_events() -> None:
    _, events = read(f"7,{NAME},artifact,0,id,us-west-2:ami-1", "7,,error-count,1")
    assert events == []


@given(st.text(alphabet=st.characters(exclude_characters="\\%", codec="utf-8")))
def test_escaped_text_comes_back(text: str) -> None:
    escaped = text.replace(",", COMMA).replace("\r", "\\r").replace("\n", "\\n")
    assert unescape(escaped) == text


@given(st.lists(st.text(max_size=60), max_size=8))
def test_any_line_is_read_without_an_error(lines: list[str]) -> None:
    reader = LogReader()
    for line in lines:
        reader.read(line)
        reader.read(f"1,,ui,error,{line}")
        reader.read(f"1,,ui,say,{line}")
    assert len(reader.guest) <= GUEST_LINES


@given(st.lists(st.integers(min_value=1, max_value=40), min_size=1, max_size=60))
def test_a_log_that_grows_in_pieces_gives_the_same_events(sizes: list[int]) -> None:
    lines = [script("10-system.sh"), ui("message", f"    {NAME}: größer"), "oops"]
    data = "\n".join(lines).encode()
    whole = LogTail(io.BytesIO(data)).pump(to_end=True)
    file = io.BytesIO()
    tail, got, at = LogTail(file), list[Event](), 0
    for size in [*sizes, len(data)]:
        file.seek(0, io.SEEK_END)
        file.write(data[at : at + size])
        file.seek(at)
        at = min(at + size, len(data))
        got += tail.pump(to_end=at == len(data))
    assert got == whole
    assert len(whole) == 3

"""One list cleans and checks: hygiene.tsv by 90-hygiene.sh and 95-validate.sh."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.unit.provision.conftest import PROVISION, Machine


class Rule(NamedTuple):
    name: str
    action: str
    path: str
    when: str
    why: str


RULES = [
    Rule(*line.split("\t"))
    for line in (PROVISION / "hygiene.tsv").read_text().splitlines()
    if not line.startswith("#")
]


def offence(machine: Machine, rule: Rule) -> str:
    """Break one rule and return the path that does."""
    path = rule.path.replace("[!", "").replace("*", "made")
    if rule.action == "remove-files":
        path = f"{path}/sub/made"
    if not (machine.root / path[1:]).is_dir():
        machine.write(path, "left behind\n")
    return path


def findings(machine: Machine) -> list[str]:
    """What validation says of the hygiene rules; the rest of it is not of interest."""
    done = machine.step("95-validate")
    assert done.returncode == 1
    said = done.stderr.splitlines()
    names = {rule.name for rule in RULES}
    told = [line.removeprefix("annexkit: not clean: ") for line in said]
    return [line for line in told if line.split(":")[0] in names]


@pytest.fixture
def clean(machine: Machine) -> Machine:
    machine.write("/etc/machine-id", "")
    machine.write("/etc/shadow", "root:*:1::::::\n")
    machine.fake("systemctl", "echo unknown")
    return machine


def test_the_table_is_well_formed() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule.action in {"remove", "remove-files", "truncate"}, rule
        assert rule.when in {"bake", "always"}, rule
        assert rule.path.startswith("/") and ".." not in rule.path, rule
        assert rule.why, rule


def test_a_booted_node_can_be_checked_by_looking_for_paths_alone() -> None:
    assert {rule.action for rule in RULES if rule.when == "always"} == {"remove"}


def test_every_rule_is_found_by_name_then_cleaned_then_found_no_more(
    clean: Machine,
) -> None:
    paths = {rule: offence(clean, rule) for rule in RULES}
    found = findings(clean)
    cleaned = clean.step("90-hygiene")
    assert cleaned.returncode == 0, cleaned.stderr
    for rule, path in paths.items():
        assert f"{rule.name}: {path} ({rule.why})" in found
        assert f"annexkit: cleaned {rule.name}: {path}" in cleaned.stdout
    assert findings(clean) == []


def test_every_thing_left_is_named_and_not_only_the_first(clean: Machine) -> None:
    keys = [f"/etc/ssh/ssh_host_{kind}_key" for kind in ("rsa", "ed25519", "ecdsa")]
    for path in [*keys, "/etc/condor/passwords.d/POOL", "/home/admin/.bash_history"]:
        clean.write(path)
    assert len(findings(clean)) == 5


def test_hidden_files_and_dangling_links_count(clean: Machine) -> None:
    clean.write("/etc/condor/tokens.d/.hidden")
    (clean.root / "etc/condor/passwords.d").mkdir(parents=True)
    (clean.root / "etc/condor/passwords.d/POOL").symlink_to("/nowhere")
    assert len(findings(clean)) == 2
    clean.step("90-hygiene")
    assert findings(clean) == []


def test_a_link_is_removed_and_not_what_it_points_to(clean: Machine) -> None:
    kept = clean.write("/srv/kept", "kept\n")
    link = clean.root / "etc/condor/tokens.d/link"
    link.parent.mkdir(parents=True)
    link.symlink_to(kept)
    clean.step("90-hygiene")
    assert not link.is_symlink()
    assert kept.read_text() == "kept\n"


def test_file_names_with_blanks_and_line_ends_are_cleaned(clean: Machine) -> None:
    name = clean.root / "var/log/a b\nc"
    name.parent.mkdir(parents=True)
    name.write_text("x")
    clean.step("90-hygiene")
    assert not name.exists()


def test_directories_of_logs_stay_for_those_who_write_there(clean: Machine) -> None:
    log = clean.write("/var/log/condor/MasterLog")
    clean.step("90-hygiene")
    assert log.parent.is_dir() and not log.exists()


def test_a_missing_machine_id_becomes_an_empty_one(clean: Machine) -> None:
    (clean.root / "etc/machine-id").unlink()
    assert [f.split(":")[0] for f in findings(clean)] == ["machine-id"]
    clean.step("90-hygiene")
    assert clean.read("/etc/machine-id") == ""


def test_what_is_not_named_stays(clean: Machine) -> None:
    kept = [
        clean.write("/etc/ssh/sshd_config"),
        clean.write("/home/admin/.profile"),
        clean.write("/etc/condor/config.d/40-annexkit-image.config"),
        clean.write("/etc/apt/sources.list.d/debian.sources"),
    ]
    clean.step("90-hygiene")
    assert all(path.exists() for path in kept)


def test_cleaning_twice_is_cleaning_once(clean: Machine) -> None:
    offence(clean, RULES[0])
    clean.step("90-hygiene")
    again = clean.step("90-hygiene")
    assert (again.returncode, again.stdout) == (0, "")


@pytest.mark.parametrize(
    "row",
    [
        "x\tremove\t/\tbake\twhy",
        "x\tremove\trelative/path\tbake\twhy",
        "x\tremove\t/etc/../home\tbake\twhy",
        "x\tremove\t/etc/x\tbake",
        "x\tshred\t/etc/x\tbake\twhy",
    ],
)
def test_a_rule_that_could_remove_too_much_stops_the_step(
    clean: Machine, own_provision: Path, row: str
) -> None:
    (own_provision / "hygiene.tsv").write_text(f"{row}\n")
    kept = clean.write("/etc/x")
    done = clean.step("90-hygiene")
    assert done.returncode == 1
    assert "hygiene.tsv" in done.stderr
    assert kept.exists()

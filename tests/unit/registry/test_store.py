"""The registry file: the same bytes for the same content, and never half of it."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from annexkit.errors import AnnexkitError, FindingsError
from annexkit.files import FileError
from annexkit.registry import Registry, RegistryError, RegistryFile, State, json_schema
from annexkit.registry import store as store_module
from annexkit.registry.edits import promote, put_build, set_candidate
from annexkit.registry.store import dump
from tests.unit.helpers import ACCOUNT, BUILD, REGION, a_build, in_region

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "ami_registry.json"


def filled() -> Registry:
    registry = Registry(account=ACCOUNT, endpoint="aws")
    put_build(registry, "debian13", BUILD, a_build({REGION: in_region(State.READY)}))
    promote(registry, "debian13", BUILD, REGION)
    return registry


@pytest.fixture
def file(tmp_path: Path) -> RegistryFile:
    found = RegistryFile(tmp_path / "ami_registry.json")
    found.path.write_text(dump(filled()))
    return found


def claim_nothing(_: Registry) -> None:
    """Change nothing."""


def broken(change: Callable[[dict[str, Any]], object]) -> str:
    data = json.loads(dump(filled()))
    change(data)
    return json.dumps(data)


def build_of(data: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = data["images"]["debian13"]["builds"][BUILD]
    return found


def names_of(data: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = data["images"]["debian13"]["channels"]["x86_64"][REGION]
    return found


def there_of(data: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = build_of(data)["regions"][REGION]
    return found


DAMAGE = {
    "empty": ("", "not JSON"),
    "cut off": (dump(filled())[:-200], "cut off"),
    "not JSON": ("registry: yes\n", "not JSON"),
    "merge conflict": ("<<<<<<< HEAD\n{}\n", "not JSON"),
    "a list": ("[]", "no 'schema' number"),
    "no schema": (broken(lambda d: d.pop("schema")), "no 'schema' number"),
    "schema in words": (broken(lambda d: d.update(schema="1")), "no 'schema' number"),
    "schema true": (broken(lambda d: d.update(schema=True)), "no 'schema' number"),
    "newer schema": (
        broken(lambda d: d.update(schema=2)),
        "knows 1 -- update annexkit",
    ),
    "older schema": (broken(lambda d: d.update(schema=0)), "schema: Input should be 1"),
    "key twice": ('{"schema": 1, "images": {}, "images": {}}', "'images' stands twice"),
    "account number": (broken(lambda d: d.update(account=123)), "account"),
    "account of 11 digits": (broken(lambda d: d.update(account="1" * 11)), "account"),
    "unknown key": (broken(lambda d: build_of(d).update(colour="red")), "colour"),
    "bad build id": (
        broken(lambda d: d["images"]["debian13"]["builds"].update(x=build_of(d))),
        "builds.x",
    ),
    "bad AMI id": (broken(lambda d: there_of(d).update(ami="ami-x")), f"{REGION}.ami"),
    "bad snapshot id": (broken(lambda d: there_of(d).update(snapshot="s")), "snapshot"),
    "bad digest": (broken(lambda d: build_of(d).update(digest="12")), "digest"),
    "bad architecture": (broken(lambda d: build_of(d).update(arch="vax")), "arch"),
    "bad state": (broken(lambda d: there_of(d).update(state="good")), "state"),
    "time without zone": (
        broken(lambda d: build_of(d).update(created="2024-05-17T12:00:00")),
        "created",
    ),
    "not a number": (
        broken(lambda d: there_of(d).update(boot_seconds=float("nan"))),
        "boot_seconds",
    ),
    "ready without AMI": (
        broken(lambda d: there_of(d).update(ami=None)),
        "a ready region needs 'ami'",
    ),
    "ready but never proved": (
        broken(lambda d: there_of(d).pop("verified_at")),
        "'verified_at'",
    ),
    "channel to nothing": (
        broken(lambda d: names_of(d).update(previous="20200101T000000-000000")),
        "which is none",
    ),
    "channel without AMI there": (
        broken(lambda d: build_of(d).update(regions={})),
        "has no AMI there",
    ),
    "channel of another architecture": (
        broken(lambda d: build_of(d).update(arch="arm64")),
        "another architecture",
    ),
    "channel to a failed build": (
        broken(lambda d: there_of(d).update(state="failed")),
        "which is failed",
    ),
    "current that is only pending": (
        broken(lambda d: there_of(d).update(state="pending")),
        "which is pending",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE, ids=str)
def test_every_damage_is_a_clear_error_and_touches_nothing(
    file: RegistryFile, damage: str
) -> None:
    text, words = DAMAGE[damage]
    file.path.write_text(text)
    for attempt in (file.read, lambda: file.update(claim_nothing)):
        with pytest.raises((RegistryError, FindingsError)) as caught:
            attempt()
        assert words in str(caught.value)
        assert all(f.mend and str(file.path) in f.where for f in caught.value.findings)
        assert file.path.read_text() == text
    assert {p.name for p in file.path.parent.iterdir()} <= {
        "ami_registry.json",
        "ami_registry.json.lock",
    }


def test_bytes_that_are_no_text_are_a_clear_error(file: RegistryFile) -> None:
    file.path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(RegistryError, match="cannot be read"):
        file.read()


def test_a_folder_in_its_place_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="cannot be read"):
        RegistryFile(tmp_path).read()


def test_everything_wrong_is_said_at_once(file: RegistryFile) -> None:
    file.path.write_text(
        broken(lambda d: (build_of(d).update(digest="1", arch="vax"), d.update(x=1)))
    )
    with pytest.raises(FindingsError) as caught:
        file.read()
    assert len(caught.value.findings) == 3


def test_a_cut_off_file_names_the_line(file: RegistryFile) -> None:
    file.path.write_text('{\n  "schema": 1,\n  "acc')
    with pytest.raises(RegistryError) as caught:
        file.read()
    assert caught.value.where == f"{file.path}:3"


def test_reading_and_writing_gives_the_same_bytes(file: RegistryFile) -> None:
    before = file.path.read_bytes()
    file.update(claim_nothing)
    assert file.path.read_bytes() == before
    assert file.read() == filled()


def test_keys_are_sorted_and_a_newline_ends_the_file(file: RegistryFile) -> None:
    text = file.path.read_text()
    assert text.endswith("}\n")
    assert not text.endswith("\n\n")
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"


def test_text_of_people_stays_readable(file: RegistryFile) -> None:
    def change(registry: Registry) -> None:
        build = registry.images["debian13"].builds[BUILD]
        build.regions[REGION].reason = "größer"

    file.update(change)
    assert "größer" in file.path.read_text(encoding="utf-8")


def test_no_file_yet_is_an_empty_registry_of_nobody(tmp_path: Path) -> None:
    file = RegistryFile(tmp_path / "folder" / "r.json")
    assert file.read() == Registry()
    assert not file.path.parent.exists()
    file.update(file.claim(ACCOUNT, "aws"))
    assert file.read().account == ACCOUNT


def test_a_change_that_fails_leaves_the_file_as_it_was(file: RegistryFile) -> None:
    before = file.path.read_bytes()

    def change(registry: Registry) -> None:
        registry.images.clear()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        file.update(change)
    assert file.path.read_bytes() == before
    file.update(claim_nothing)  # and the lock is free again


def test_a_change_that_makes_no_registry_is_not_written(file: RegistryFile) -> None:
    before = file.path.read_bytes()

    def change(registry: Registry) -> None:
        del registry.images["debian13"].builds[BUILD]

    with pytest.raises(FindingsError, match="which is none"):
        file.update(change)
    assert file.path.read_bytes() == before


def test_a_lock_that_another_process_holds_ends_in_a_clear_error(
    file: RegistryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    from filelock import FileLock

    monkeypatch.setattr(store_module, "LOCK_SECONDS", 0.01)
    before = file.path.read_bytes()
    with (
        FileLock(f"{file.path}.lock", is_singleton=False),
        pytest.raises(RegistryError, match="another process has held"),
    ):
        file.update(claim_nothing)
    assert file.path.read_bytes() == before


def test_a_place_where_no_file_can_be_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RegistryError, match="cannot be locked") as caught:
        RegistryFile(tmp_path / "file" / "r.json").update(claim_nothing)
    assert caught.value.mend


@pytest.mark.parametrize("where", ["os.fsync", "pathlib.Path.replace"])
def test_a_full_disk_leaves_the_old_file_and_no_stray_one(
    file: RegistryFile, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = file.path.read_bytes()
    monkeypatch.setattr(where, refuse)
    with pytest.raises(FileError, match="No space left"):
        file.update(file.claim(ACCOUNT, "aws"))
    monkeypatch.undo()
    assert file.path.read_bytes() == before
    assert {p.name for p in file.path.parent.iterdir()} == {
        "ami_registry.json",
        "ami_registry.json.lock",
    }
    file.update(claim_nothing)


@pytest.mark.parametrize(
    ("account", "endpoint"),
    [("210987654321", "aws"), (ACCOUNT, "http://127.0.0.1:4566")],
)
def test_a_registry_of_another_account_or_endpoint_is_refused(
    file: RegistryFile, account: str, endpoint: str
) -> None:
    before = file.path.read_bytes()
    with pytest.raises(RegistryError, match="belongs to account") as caught:
        file.update(file.claim(account, endpoint))
    for word in (ACCOUNT, account, endpoint):
        assert word in caught.value.what
    other = file.path.with_name(f"{file.path.stem}.{account}{file.path.suffix}")
    assert f"export INVOKE_ANNEXKIT_REGISTRY={other};" in caught.value.mend
    assert file.path.read_bytes() == before


def test_claiming_again_is_no_error(file: RegistryFile) -> None:
    file.update(file.claim(ACCOUNT, "aws"))
    file.update(file.claim(ACCOUNT, "aws"))


def test_an_error_of_the_registry_is_for_people() -> None:
    assert issubclass(RegistryError, AnnexkitError)


def test_the_schema_beside_the_registry_is_the_models_own() -> None:
    assert (ROOT / "ami_registry.schema.json").read_text() == json_schema()


def test_the_schema_is_a_valid_one_and_knows_what_we_write() -> None:
    schema = json.loads(json_schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    for text in (dump(Registry()), dump(filled()), COMMITTED.read_text()):
        check.validate(json.loads(text))
    for damage in ("unknown key", "bad AMI id", "bad digest", "bad state"):
        assert not check.is_valid(json.loads(DAMAGE[damage][0]))


def test_the_committed_registry_is_as_annexkit_would_write_it() -> None:
    text = COMMITTED.read_text()
    assert dump(RegistryFile(COMMITTED).read()) == text


def test_the_guides_three_amis_are_known_and_never_launched() -> None:
    registry = RegistryFile(COMMITTED).read()
    assert {(h.region, h.ami, h.htcondor) for h in registry.historical} == {
        ("us-east-1", "ami-91e1a3fb", "8.4.2"),
        ("us-west-1", "ami-7f06731f", "8.4.2"),
        ("us-west-2", "ami-ac8890cd", "8.4.2"),
    }
    assert not {(h.region, h.ami) for h in registry.historical} & registry.amis().keys()


def test_a_candidate_may_be_pending_but_nothing_else_may(file: RegistryFile) -> None:
    other = "20240518T120000-000001"

    def change(registry: Registry) -> None:
        put_build(registry, "debian13", other, a_build())
        set_candidate(registry, "debian13", other, REGION)

    assert file.update(change).channel("debian13", "x86_64", REGION).candidate == other


def test_a_damaged_registry_is_restored_from_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "registry.json"
    path.write_text("{")
    inside, outside = "git checkout -- ", f"git -C {tmp_path} checkout -- "
    for here, command in ((tmp_path, inside), (Path("/"), outside)):
        monkeypatch.chdir(here)
        with pytest.raises(RegistryError) as caught:
            RegistryFile(path).read()
        assert caught.value.mend == f"restore it: {command}registry.json"

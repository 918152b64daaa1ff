"""A key pair of the user's own: made once, and never in the place of another's."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from annexkit import ssh
from annexkit.console import Console
from annexkit.errors import Exit
from annexkit.flows.site import Site
from annexkit.registry import Registry, RegistryError
from annexkit.setup import keypair
from annexkit.sweep.find import find_things
from tests.unit.flows.pairs import (
    OTHER,
    Watch,
    everything,
    in_ec2,
    make,
    refused,
    state_of,
)
from tests.unit.helpers import REGION

Captured = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


def test_the_file_is_made_for_its_owner_alone_and_ec2_has_its_public_half(
    site: Site, watch: Watch, kept: Path
) -> None:
    assert make(site) is Exit.DONE
    assert stat.S_IMODE(kept.stat().st_mode) == 0o400
    assert list(kept.parent.iterdir()) == [kept]
    key = ssh.load_key(kept)
    assert key.public_line.startswith("ssh-ed25519 ")
    assert in_ec2(site, key)
    assert watch.names == [(REGION, "import_key_pair")]


def test_a_second_run_changes_nothing_and_says_so(
    site: Site, watch: Watch, kept: Path, capsys: Captured
) -> None:
    make(site)
    before = state_of(kept)
    watch.made.clear()
    capsys.readouterr()
    assert make(site) is Exit.DONE
    assert state_of(kept) == before
    assert watch.made == []
    assert "nothing to do: annexkit is in EC2" in capsys.readouterr().out


def test_what_would_be_made_is_said_and_not_made(
    site: Site, watch: Watch, kept: Path, capsys: Captured
) -> None:
    before = everything(site.root)
    assert make(site, dry_run=True) is Exit.DONE
    said = capsys.readouterr()
    assert f"private file is made: {kept}" in said.err
    assert f"key pair annexkit in {REGION} is imported (ImportKeyPair)" in said.err
    assert "nothing changed" in said.out
    assert watch.made == []
    assert everything(site.root) == before


def test_every_call_that_changes_something_stood_in_the_plan_before(
    site: Site, watch: Watch, capsys: Captured
) -> None:
    seen: list[str] = []
    watch.on["import_key_pair"] = lambda _: seen.append(capsys.readouterr().err)
    make(site)
    assert f"key pair annexkit in {REGION} is imported (ImportKeyPair)" in seen[0]


def test_a_program_is_told_what_happened(
    site: Site, kept: Path, capsys: Captured
) -> None:
    site.console = Console(as_json=True)
    make(site)
    first = json.loads(capsys.readouterr().out)
    key = ssh.load_key(kept)
    assert first == {
        "key_name": "annexkit",
        "file": str(kept),
        "file_made": True,
        "fingerprint": f"SHA256:{keypair.ec2_fingerprint(key).rstrip('=')}",
        "regions": {REGION: "imported"},
        "failed": {},
        "changed": True,
        "dry_run": False,
    }
    make(site)
    again = json.loads(capsys.readouterr().out)
    assert (again["changed"], again["regions"]) == (False, {REGION: "there"})


def test_the_private_half_is_in_its_file_and_nowhere_else(
    site: Site, watch: Watch, kept: Path, capsys: Captured
) -> None:
    for flags in ({}, {}, {"regions": (OTHER,)}, {"dry_run": True}):
        make(site, **flags)
    said = capsys.readouterr()
    private = [
        line for line in kept.read_text().splitlines() if not line.startswith("---")
    ]
    assert len(private) >= 4
    others = [text for p, text in everything(site.root).items() if p != kept]
    # The first lines hold the public half as well, in the same Base64.
    for line in private[2:]:
        assert line not in said.out + said.err
        assert line not in str(watch.made)
        assert not [text for text in others if line.encode() in text]
    assert "PRIVATE KEY" not in said.out + said.err + str(watch.made)
    assert not site.journal.entries()


# Whose it is
@pytest.mark.parametrize("held", [True, False])
def test_a_pair_that_we_do_not_hold_is_never_touched(
    site: Site, watch: Watch, kept: Path, held: bool
) -> None:
    theirs = ssh.new_key()
    keypair.give(site.cloud, REGION, "annexkit", theirs)
    if held:
        ssh.new_key(kept)
    before, watch.made = everything(site.root), []
    error = refused(site)
    (found,) = error.findings
    assert found.where == REGION
    assert "whose private half we do not hold" in found.what
    assert "invoke keypair --key-name annexkit --import FILE" in found.mend
    assert "--key-name NAME" in found.mend
    assert watch.made == []
    assert everything(site.root) == before
    assert in_ec2(site, theirs)


def test_a_conflict_in_one_region_stops_all_of_them_beforehand(
    site: Site, watch: Watch, kept: Path
) -> None:
    keypair.give(site.cloud, OTHER, "annexkit", ssh.new_key())
    watch.made = []
    refused(site, regions=(f"{REGION},{OTHER}",))
    assert watch.made == []
    assert not kept.exists()


def test_a_pair_that_ec2_made_is_not_ours_either(site: Site, kept: Path) -> None:
    site.cloud.call(REGION, "create_key_pair", KeyName="annexkit")
    refused(site)
    assert not kept.exists()


def test_by_the_fingerprint_alone_the_pair_is_known_too(
    site: Site, kept: Path, monkeypatch: Patch
) -> None:
    """As EC2 writes it, which moto does not, and without the public half."""
    key = ssh.new_key(kept)
    said = {"KeyName": "annexkit", "KeyFingerprint": keypair.ec2_fingerprint(key)}
    real = site.cloud.call

    def call(region: str, method: str, **arguments: Any) -> dict[str, Any]:
        if method == "describe_key_pairs":
            return {"KeyPairs": [said]}
        return real(region, method, **arguments)

    monkeypatch.setattr(site.cloud, "call", call)
    watch = Watch(site, monkeypatch)
    assert make(site) is Exit.DONE
    said["KeyFingerprint"] = keypair.ec2_fingerprint(ssh.new_key())
    refused(site)
    assert watch.made == []


def test_another_accounts_registry_stops_it_before_anything_is_made(
    site: Site, watch: Watch, kept: Path
) -> None:
    def disown(registry: Registry) -> None:
        registry.account = "999999999999"

    site.registry.update(disown)
    with pytest.raises(RegistryError):
        make(site)
    assert watch.made == []
    assert not kept.exists()


def test_the_reaper_leaves_the_pair_alone(site: Site) -> None:
    make(site)
    assert find_things(site.cloud, REGION, "annexkit") == []

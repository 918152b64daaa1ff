"""Package sources, read by a real apt from repositories in a folder."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.provision.conftest import Machine

pytestmark = pytest.mark.skipif(not shutil.which("apt-get"), reason="needs apt")

UNSTABLE = "/etc/apt/sources.list.d/annexkit-unstable.sources"
UPSTREAM = "/etc/apt/sources.list.d/annexkit-htcondor.sources"
PINS = "/etc/apt/preferences.d"
Sign = Callable[[Path], Path]
GPG = ["gpg", "--batch", "--quiet", "--pinentry-mode=loopback", "--passphrase="]


def package(version: str) -> str:
    return (
        f"Package: condor\nVersion: {version}\nArchitecture: all\n"
        "Maintainer: nobody <nobody@example.org>\nDescription: a test\n"
        f"Filename: pool/condor_{version}_all.deb\nSize: 1\nSHA256: {'0' * 64}\n"
    )


def repository(folder: Path, suite: str, origin: str, version: str) -> Path:
    """Make an unsigned repository of one package and return its folder."""
    binary = f"main/binary-{architecture()}/Packages"
    packages = package(version).encode()
    place = folder / "dists" / suite / binary
    place.parent.mkdir(parents=True)
    place.write_bytes(packages)
    place.with_suffix(".gz").write_bytes(gzip.compress(packages))
    sums = "".join(
        f" {hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_size} "
        f"{binary}{path.suffix}\n"
        for path in (place, place.with_suffix(".gz"))
    )
    (folder / "dists" / suite / "Release").write_text(
        f"Origin: {origin}\nLabel: {origin}\nSuite: stable\nCodename: {suite}\n"
        "Date: Fri, 17 May 2024 12:00:00 UTC\n"
        f"Architectures: {architecture()} all\nComponents: main\nSHA256:\n{sums}"
    )
    return folder


def architecture() -> str:
    done = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def apt_major() -> int:
    if not shutil.which("apt-get"):
        return 0
    done = subprocess.run(
        ["apt-get", "--version"], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[1].split(".")[0])


@pytest.fixture
def apt(machine: Machine) -> Machine:
    """A machine whose apt sees its own folder only, and no network."""
    for folder in (
        "etc/apt/sources.list.d",
        "etc/apt/preferences.d",
        "etc/apt/keyrings",
        "etc/apt/trusted.gpg.d",
        "var/lib/apt/lists/partial",
        "var/lib/dpkg",
        "var/cache/apt/archives/partial",
    ):
        (machine.root / folder).mkdir(parents=True)
    machine.write("/var/lib/dpkg/status", "")
    config = machine.write(
        "/etc/apt.test.conf",
        f'Dir "{machine.root}";\nDir::State::status "{machine.root}'
        f'/var/lib/dpkg/status";\nDir::Bin::Methods "/usr/lib/apt/methods/";\n'
        'APT::Sandbox::User "root";\nAPT::Update::Post-Invoke-Success {};\n'
        'Acquire::Languages "none";\n#clear DPkg::Post-Invoke;\n'
        "#clear APT::Update::Post-Invoke-Success;\n",
    )
    machine.env["APT_CONFIG"] = str(config)
    machine.fake("sleep")
    return machine


@pytest.fixture
def sign(tmp_path: Path) -> Iterator[Sign]:
    """Sign the Release file in a folder with a key of the test; return the key."""
    if not shutil.which("gpg"):
        pytest.skip("needs gpg")
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)
    env = {**os.environ, "GNUPGHOME": str(home)}
    key = tmp_path / "key.asc"

    def gpg(*args: str | Path) -> None:
        command = [*GPG, *map(str, args)]
        subprocess.run(command, env=env, check=True, capture_output=True)

    def signed(folder: Path) -> Path:
        gpg("--clearsign", "-o", folder / "InRelease", folder / "Release")
        return key

    gpg("--quick-generate-key", "a test", "ed25519", "sign", "1d")
    gpg("--armor", "-o", key, "--export")
    yield signed
    subprocess.run(["gpgconf", "--kill", "all"], env=env, check=False)


@pytest.fixture
def debian(apt: Machine, tmp_path: Path) -> Path:
    """Debian's own release."""
    return repository(tmp_path / "debian", "trixie", "Debian", "23.9.6-1")


def updated(machine: Machine) -> None:
    done = machine.run("apt-get", "update", "-o", "APT::Update::Error-Mode=any")
    assert done.returncode == 0, done.stderr


def candidate(machine: Machine) -> str:
    done = machine.run("apt-cache", "policy", "condor")
    return done.stdout.split("Candidate: ")[1].split()[0]


ONE_LINE = "deb [trusted=yes] file:{uri} trixie main\n"
DEB822 = (
    "Types: deb\nURIs: file:{uri}\nSuites: trixie\nComponents: main\nTrusted: yes\n"
)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/etc/apt/sources.list", ONE_LINE),
        ("/etc/apt/sources.list.d/debian.sources", DEB822),
    ],
    ids=["one-line", "deb822"],
)
def test_unstable_comes_from_the_machines_own_mirror(
    apt: Machine, debian: Path, path: str, text: str
) -> None:
    apt.write(path, text.format(uri=debian))
    updated(apt)
    done = apt.shell("add_unstable_source")
    assert done.returncode == 0, done.stderr
    wanted = f"Types: deb\nURIs: file:{debian}/\nSuites: sid\nComponents: main\n"
    assert apt.read(UNSTABLE) == wanted


@pytest.mark.skipif(apt_major() < 3, reason="apt before 3 does not name the keyring")
def test_unstable_is_trusted_by_the_keyring_of_the_machines_own_source(
    apt: Machine, debian: Path, sign: Sign
) -> None:
    key = sign(debian / "dists/trixie")
    text = DEB822.replace("Trusted: yes", f"Signed-By: {key}").format(uri=debian)
    apt.write("/etc/apt/sources.list.d/debian.sources", text)
    updated(apt)
    done = apt.shell("add_unstable_source")
    assert done.returncode == 0, done.stderr
    assert apt.read(UNSTABLE).splitlines()[-1] == f"Signed-By: {key}"


def test_a_mirror_list_is_passed_on_as_it_is(apt: Machine, debian: Path) -> None:
    mirrors = apt.write("/etc/apt/mirrors/debian.list", f"file:{debian}\n")
    apt.write(
        "/etc/apt/sources.list.d/debian.sources",
        DEB822.replace("file:{uri}", f"mirror+file:{mirrors}"),
    )
    updated(apt)
    assert apt.shell("add_unstable_source").returncode == 0
    assert f"URIs: mirror+file:{mirrors}" in apt.read(UNSTABLE)


def test_an_archive_that_reuses_debians_code_name_is_not_taken_for_debian(
    apt: Machine, debian: Path, tmp_path: Path
) -> None:
    other = repository(tmp_path / "a-other", "trixie", "Somebody", "99-1")
    apt.write(
        "/etc/apt/sources.list",
        ONE_LINE.format(uri=other) + ONE_LINE.format(uri=debian),
    )
    updated(apt)
    assert apt.shell("add_unstable_source").returncode == 0
    assert f"URIs: file:{debian}/" in apt.read(UNSTABLE)


def test_a_machine_without_a_source_of_its_release_is_told(apt: Machine) -> None:
    done = apt.shell("add_unstable_source")
    assert done.returncode == 1
    assert "no source of this machine gives Debian trixie main" in done.stderr


def test_unstable_is_there_by_name_and_nothing_else_comes_from_it(
    apt: Machine, debian: Path
) -> None:
    repository(debian, "sid", "Debian", "25.14.1-1")
    apt.write("/etc/apt/sources.list", ONE_LINE.format(uri=debian))
    updated(apt)
    text = f"add_unstable_source; echo Trusted: yes >> {apt.root}{UNSTABLE}"
    done = apt.shell(f"{text}; update_one {UNSTABLE}")
    assert done.returncode == 0, done.stderr
    assert candidate(apt) == "23.9.6-1"
    named = apt.run("apt-get", "--simulate", "install", "condor/sid")
    assert "Inst condor (25.14.1-1" in named.stdout, named.stderr


def test_what_was_added_is_dropped_and_nothing_else(apt: Machine, debian: Path) -> None:
    own = apt.write("/etc/apt/sources.list", ONE_LINE.format(uri=debian))
    updated(apt)
    before = sorted(apt.root.glob("etc/apt/**/*"))
    apt.shell("add_unstable_source")
    assert sorted(apt.root.glob("etc/apt/**/*")) != before
    apt.shell("drop_htcondor_sources; drop_htcondor_sources")
    assert sorted(apt.root.glob("etc/apt/**/*")) == before
    assert own.exists()


# HTCondor's own repository: signed, its key known by a checksum.


@pytest.fixture
def signed(tmp_path: Path, sign: Sign) -> dict[str, str]:
    """A signed repository, as the recipe describes it to the step."""
    folder = repository(tmp_path / "upstream", "trixie", "HTCondor", "25.0.1-1")
    key = sign(folder / "dists/trixie")
    return {
        "ANNEXKIT_HTCONDOR_URL": f"file:{folder}",
        "ANNEXKIT_HTCONDOR_SUITE": "trixie",
        "ANNEXKIT_HTCONDOR_COMPONENT": "main",
        "ANNEXKIT_HTCONDOR_KEY_URL": key.as_uri(),
        "ANNEXKIT_HTCONDOR_KEY_SHA256": hashlib.sha256(key.read_bytes()).hexdigest(),
    }


def test_upstreams_package_is_preferred_and_its_signature_checked(
    apt: Machine, debian: Path, signed: dict[str, str]
) -> None:
    apt.write("/etc/apt/sources.list", ONE_LINE.format(uri=debian))
    updated(apt)
    done = apt.shell(f"add_upstream_source; update_one {UPSTREAM}", **signed)
    assert done.returncode == 0, done.stderr
    assert candidate(apt) == "25.0.1-1"
    apt.shell("drop_htcondor_sources")
    assert not list(apt.root.glob("etc/apt/**/annexkit-*"))


def test_a_key_with_another_checksum_is_refused_and_leaves_nothing(
    apt: Machine, signed: dict[str, str]
) -> None:
    wrong = {**signed, "ANNEXKIT_HTCONDOR_KEY_SHA256": "0" * 64}
    done = apt.shell("add_upstream_source", **wrong)
    assert done.returncode == 1
    assert f"SHA-256 {signed['ANNEXKIT_HTCONDOR_KEY_SHA256']}" in done.stderr
    assert not list(apt.root.glob("etc/apt/**/annexkit-*"))


def test_a_key_may_be_known_by_its_fingerprint(
    apt: Machine, debian: Path, signed: dict[str, str]
) -> None:
    del signed["ANNEXKIT_HTCONDOR_KEY_SHA256"]
    apt.write("/etc/apt/sources.list", ONE_LINE.format(uri=debian))
    updated(apt)
    name = "ANNEXKIT_HTCONDOR_KEY_FINGERPRINT"
    refused = apt.shell("add_upstream_source", **signed, **{name: "A" * 40})
    assert refused.returncode == 1
    said = re.search(
        f"the key of HTCondor has fingerprint ([0-9A-F]{{40}}), wanted {'A' * 40}\n",
        refused.stderr,
    )
    assert said, refused.stderr
    assert not list(apt.root.glob("etc/apt/**/annexkit-*"))
    text = f"add_upstream_source; update_one {UPSTREAM}"
    done = apt.shell(text, **signed, **{name: said[1]})
    assert done.returncode == 0, done.stderr
    assert candidate(apt) == "25.0.1-1"


def test_a_key_that_cannot_be_fetched_is_said(
    apt: Machine, signed: dict[str, str]
) -> None:
    gone = {**signed, "ANNEXKIT_HTCONDOR_KEY_URL": "file:///nowhere/key"}
    done = apt.shell("add_upstream_source", **gone)
    assert done.returncode == 1
    assert "cannot fetch the key of HTCondor from file:///nowhere/key" in done.stderr


def test_a_repository_that_was_changed_after_signing_is_refused(
    apt: Machine, signed: dict[str, str]
) -> None:
    folder = Path(signed["ANNEXKIT_HTCONDOR_URL"].removeprefix("file:"))
    inrelease = folder / "dists/trixie/InRelease"
    inrelease.write_text(inrelease.read_text().replace("HTCondor", "Somebody"))
    done = apt.shell(f"add_upstream_source; update_one {UPSTREAM}", **signed)
    assert done.returncode != 0
    assert "signature" in done.stderr.lower()


def test_a_recipe_without_the_keys_checksum_stops_the_step(
    apt: Machine, signed: dict[str, str]
) -> None:
    del signed["ANNEXKIT_HTCONDOR_KEY_SHA256"]
    done = apt.shell("install_htcondor_upstream", **signed)
    assert done.returncode == 1
    assert "no key_sha256 and no key_fingerprint" in done.stderr

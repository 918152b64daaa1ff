"""A repository for apt on the machines' network, where a recipe says HTCondor's own is.

Its HTCondor is Debian's own package under a newer version, which needs one package
more: the test's, of which newer ones are published. What builds, lists, signs and
serves them is real: dpkg-deb, apt-ftparchive, gpg, and HTTP from a container of the
rehearsal, which both this host and the machines reach.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from annexkit.process import run
from annexkit.rehearsal.podman import Podman, limits
from annexkit.rehearsal.site import fix_bridge
from annexkit.rehearsal.state import LABEL, Rehearsal
from annexkit.waiting import wait_for

SUITE = "nightly-test"
NOTES = "annexkit-test-notes"  # the package that newer ones are published of
LOCAL = "+local1"  # makes Debian's version of HTCondor a newer one
HOST = 4  # below the first machine, above the gateway (annexkit.rehearsal.site)
SERVE = "mkdir -p /repo && exec python3 -m http.server --directory /repo 80"
ASKED = re.compile(r'^(\S+) \S+ \S+ \[.*?\] "GET (\S+) [^"]*" (\d+)', re.MULTILINE)

HEAD = f"""\
set -eu
export DEBIAN_FRONTEND=noninteractive GNUPGHOME=/root/keys LC_ALL=C.UTF-8
umask 022
suite={SUITE} notes={NOTES} local={LOCAL}
"""
# The key has no passphrase, and lives as long as the container.
BEGIN = r"""
apt-get update --quiet >&2
apt-get install --yes --quiet --no-install-recommends -o Dpkg::Use-Pty=0 \
  apt-utils gpg gpg-agent >&2
mkdir -p "$GNUPGHOME" /repo/pool /root/made
chmod 700 "$GNUPGHOME"
cd /root/made
apt-get download --quiet -o APT::Sandbox::User=root condor >&2
dpkg-deb --raw-extract condor_*.deb condor
sed --in-place -e "s/^Version: .*/&$local/" -e "s/^Depends: /&$notes, /" \
  condor/DEBIAN/control
dpkg-deb -Zgzip -z1 --build condor /repo/pool >&2
gpg --batch --quiet --pinentry-mode loopback --passphrase '' \
  --quick-generate-key mirror rsa3072 sign 1d
gpg --batch --armor --export mirror >/repo/key.asc
gpg --batch --with-colons --fingerprint mirror |
  awk -F: '$1 == "fpr" { print $10; exit }'
"""
PUBLISH = r"""
tree=/root/made/notes-$version
mkdir -p "$tree/DEBIAN" "$tree/usr/share/$notes"
echo "$version" >"$tree/usr/share/$notes/version"
cat >"$tree/DEBIAN/control" <<CONTROL
Package: $notes
Version: $version
Architecture: all
Maintainer: annexkit's tests <test@example.invalid>
Description: what the HTCondor of a test's repository needs
CONTROL
dpkg-deb --build "$tree" /repo/pool >&2
cd /repo
arch=$(dpkg --print-architecture)
mkdir -p "dists/$suite/main/binary-$arch"
apt-ftparchive packages pool >"dists/$suite/main/binary-$arch/Packages"
gzip --keep --force "dists/$suite/main/binary-$arch/Packages"
rm -f "dists/$suite/InRelease"
apt-ftparchive -o "APT::FTPArchive::Release::Codename=$suite" \
  -o APT::FTPArchive::Release::Origin=test \
  -o APT::FTPArchive::Release::Components=main \
  -o "APT::FTPArchive::Release::Architectures=$arch" \
  release "dists/$suite" >/root/made/Release
gpg --batch --yes --clearsign --output "dists/$suite/InRelease" /root/made/Release
"""


@dataclass(frozen=True)
class Mirror:
    """The repository; nothing is published in it at first.

    ``fingerprint``: of the key that signs it, which lies beside it.
    """

    podman: Podman
    container: str
    address: str
    gateway: str
    fingerprint: str

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def release(self) -> str:
        """The path of what is asked for first."""
        return f"/dists/{SUITE}/InRelease"

    def publish(self, version: str) -> None:
        """Add a version of the test's package, beside those that are there."""
        shell(self.podman, self.container, f"{HEAD}version={version}\n{PUBLISH}")

    def answers(self, path: str) -> list[int]:
        """Return the codes by which this host's own requests were answered."""
        told = ASKED.findall(self.podman.console(self.container))
        return [int(c) for who, p, c in told if (who, p) == (self.gateway, path)]

    def write_into(self, recipe: Path) -> None:
        """Make a Debian recipe take its HTCondor from here; everything else stays."""
        own = (
            "htcondor = {\n"
            f'  source = "upstream"\n  suite = "{SUITE}"\n  series = "23.9"\n'
            f'  url = "{self.url}"\n  component = "main"\n'
            f'  key_url = "{self.url}/key.asc"\n'
            f'  key_fingerprint = "{self.fingerprint}"\n}}\n'
        )
        block = re.compile(r"^htcondor = \{\n.*?^\}\n", re.MULTILINE | re.DOTALL)
        text, found = block.subn(own, recipe.read_text())
        assert found == 1
        recipe.write_text(text)


@contextmanager
def mirror(rehearsal: Rehearsal) -> Iterator[Mirror]:
    """Bring up a repository in a rehearsal; it is gone when the block ends.

    It keeps the machines' network up between two nights, so that it can be asked then.
    """
    podman = Podman(rehearsal.id, rehearsal.runtime)
    network = ipaddress.ip_network(rehearsal.subnet)
    address, gateway = str(network[HOST]), str(network[1])
    name = f"{rehearsal.network}-mirror"
    files, processes = limits()
    podman.remove(name)
    try:
        podman.call(
            *("run", "--detach", "--log-driver=k8s-file", "--name", name),
            *("--network", f"{rehearsal.network}:ip={address}"),
            f"--label={LABEL}={rehearsal.id}",
            f"--ulimit=nofile={files}:{files}",
            f"--ulimit=nproc={processes}:{processes}",
            *(rehearsal.base.ref, "sh", "-c", SERVE),
        )
        fix_bridge(rehearsal.id, podman.bridge(rehearsal.network))
        fingerprint = shell(podman, name, HEAD + BEGIN)
        found = Mirror(podman, name, address, gateway, fingerprint)
        wait_for(
            lambda: _serves(found), what="the mirror to answer", timeout=30, poll=0.1
        )
        yield found
    finally:
        podman.remove(name)


def shell(podman: Podman, container: str, script: str) -> str:
    """Run a script as root in a container; return what it printed."""
    asked = podman.command("exec", "--interactive", container, "sh", "-s")
    return run(*asked, stdin=script, timeout=180).stdout.strip()


def _serves(found: Mirror) -> bool:
    asked = ("curl", "--silent", "--fail", "--noproxy", "*", f"{found.url}/key.asc")
    return run(*asked, check=False).exit_code == 0

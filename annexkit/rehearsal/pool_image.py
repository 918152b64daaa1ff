"""The image of a pool host: the base image with HTCondor, cached as that is.

HTCondor comes from the machine's own package sources: Debian's release has 23.9, its
unstable suite 25.14.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from annexkit.files import make_folder
from annexkit.process import run
from annexkit.rehearsal.podman import Podman, limits
from annexkit.rehearsal.state import LABEL, BaseImage

Progress = Callable[[str], None]
INSTALL_SECONDS = 600
USER = "alice"

# Unstable only gives what the release has not (see provision/family/debian.sh).
UNSTABLE = r"""
read -r uri keyring <<FOUND
$(apt-get indextargets \
  --format '$(CODENAME)|$(COMPONENT)|$(REPO_URI)|$(SIGNED_BY)' 'Created-By: Packages' |
  awk -F'|' -v codename="$codename" '$1 == codename && $2 == "main" {
    print $3, ($4 ~ /^\// ? $4 : "-"); exit }')
FOUND
printf 'Package: *\nPin: release n=sid\nPin-Priority: 100\n' \
  >/etc/apt/preferences.d/unstable
printf 'Types: deb\nURIs: %s\nSuites: sid\nComponents: main\n' "$uri" \
  >/etc/apt/sources.list.d/unstable.sources
if [ "$keyring" != - ]; then
  echo "Signed-By: $keyring" >>/etc/apt/sources.list.d/unstable.sources
fi
get update
get install --solver 3.0 --no-strict-pinning condor/sid
"""

# Names are looked up in files alone, since no DNS here knows these addresses; and the
# master must not write kernel settings, which are this host's.
SCRIPT = r"""
set -eu
export DEBIAN_FRONTEND=noninteractive
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
get() {
  apt-get --yes --quiet --no-install-recommends -o Acquire::Retries=3 \
    -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-unsafe-io "$@"
}
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
get update
@INSTALL@
rm -f /usr/sbin/policy-rc.d
apt-get clean
useradd --create-home --shell /bin/bash @USER@
touch /etc/cloud/cloud-init.disabled
systemctl mask ssh.service ssh.socket systemd-timesyncd.service
sed -i 's/^hosts:.*/hosts: files myhostname/' /etc/nsswitch.conf
echo 'LINUX_KERNEL_TUNING_SCRIPT =' >/etc/condor/config.d/01-rehearsal.config
rm -rf /var/lib/apt/lists/* /var/log/condor/*
: >/etc/machine-id
"""
INSTALLS = {"23.9": "get install condor", "25.14": UNSTABLE}


def ensure(
    htcondor: str, base: BaseImage, cache: Path, podman: Podman, progress: Progress
) -> str:
    """Make the image unless it is there, and return its name in podman.

    Two processes that want it at once build it once; from then on it needs no network.

    :param htcondor: a key of INSTALLS.
    :raises CommandError: apt or podman failed.
    """
    script = SCRIPT.replace("@INSTALL@", INSTALLS[htcondor]).replace("@USER@", USER)
    text = json.dumps([script, base.ref])
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    ref = f"localhost/annexkit-pool:{htcondor}-{digest}"
    folder = make_folder(cache / "rehearsal")
    tarball = folder / f"pool-{htcondor}-{digest}.tar"
    with FileLock(f"{tarball}.lock"):
        if not podman.has_image(ref):
            if not tarball.exists():
                progress(f"pool host: installing HTCondor {htcondor}")
                _build(script, base.ref, tarball, podman)
            progress("pool host: importing into podman")
            podman.import_image(tarball, ref)
    return ref


def _build(script: str, image: str, tarball: Path, podman: Podman) -> None:
    name = f"annexkit-{podman.rehearsal}-{tarball.stem}"
    files, processes = limits()
    started = (
        *("run", "--interactive", "--network=host", "--name", name),
        f"--label={LABEL}={podman.rehearsal}",
        f"--ulimit=nofile={files}:{files}",
        f"--ulimit=nproc={processes}:{processes}",
        *(image, "sh", "-s"),
    )
    target = tarball.with_suffix(".part")
    podman.remove(name)
    try:
        run(*podman.command(*started), stdin=script, timeout=INSTALL_SECONDS)
        podman.call("export", "--output", target, name, timeout=INSTALL_SECONDS)
        target.replace(tarball)
    finally:
        podman.remove(name)
        target.unlink(missing_ok=True)

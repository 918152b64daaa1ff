"""The operating system image that stands for Debian's official EC2 image.

Built by mmdebstrap from the system's own sources, cached by the digest of its recipe,
kept in podman's storage under a name that every rehearsal of this machine shares.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from annexkit.errors import AnnexkitError
from annexkit.files import write_beside
from annexkit.process import run
from annexkit.rehearsal.podman import Podman
from annexkit.rehearsal.state import BaseImage

Progress = Callable[[str], None]

# The account that publishes Debian's AMIs (wiki.debian.org, Cloud/AmazonEC2Image).
OWNER = "136693071363"
ROOT_DEVICE = "/dev/xvda"
RELEASES = {"bookworm": "12", "trixie": "13"}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}

PACKAGES = (
    "ca-certificates",
    "cloud-init",
    "curl",
    "dbus",
    "dmidecode",
    "iproute2",
    "iputils-ping",
    "less",
    "libpam-systemd",
    "netbase",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "sudo",
    "systemd-sysv",
    "systemd-timesyncd",
)

FILES = {
    # what Debian's own EC2 images set
    "etc/cloud/cloud.cfg.d/01_debian_cloud.cfg": """\
apt:
  preserve_sources_list: true
system_info:
  default_user:
    name: admin
    sudo: ["ALL=(ALL) NOPASSWD:ALL"]
    shell: /bin/bash
    lock_passwd: true
    gecos: Debian
    groups: [adm, audio, cdrom, dialout, dip, floppy, plugdev, sudo, video]
""",
    # what a machine without a disk and a network card of its own cannot do: without
    # this file cloud-init tries, and ends "degraded"
    "etc/cloud/cloud.cfg.d/99_rehearsal.cfg": """\
datasource_list: [ Ec2 ]
network:
  config: disabled
preserve_hostname: true
growpart:
  mode: "off"
resize_rootfs: false
""",
    # where a machine's firmware is mounted (firmware.py); by themselves these hand on
    # to the real programs, so that the image is right without us too
    "usr/local/bin/systemd-detect-virt": """\
#!/bin/sh
exec /usr/bin/systemd-detect-virt "$@"
""",
    "usr/local/sbin/dmidecode": """\
#!/bin/sh
exec /usr/sbin/dmidecode "$@"
""",
}

# An image has no identity: what names a machine is made at its first boot.
HOOKS = (
    'chroot "$1" systemctl disable apt-daily.timer apt-daily-upgrade.timer',
    # its start hangs up the console, and what was being written there is lost
    'chroot "$1" systemctl mask console-getty.service',
    'rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/hostname "$1"/var/lib/dbus/machine-id',
    ': >"$1"/etc/machine-id',
)


@dataclass(frozen=True)
class Recipe:
    """All that decides what is in the image."""

    suite: str
    architecture: str
    packages: tuple[str, ...] = PACKAGES
    files: tuple[tuple[str, str], ...] = tuple(FILES.items())
    hooks: tuple[str, ...] = HOOKS
    options: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that change with the recipe."""
        text = json.dumps([getattr(self, name) for name in self.__dataclass_fields__])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def command(self, overlay: Path, target: Path) -> list[str]:
        """Return the mmdebstrap call; no mirror is named, so it takes its default."""
        return [
            *("mmdebstrap", "--variant=minbase", "--format=tar"),
            f"--include={','.join(self.packages)}",
            *(f"--aptopt={option}" for option in self.options),
            f'--customize-hook=cp -a {shlex.quote(str(overlay))}/. "$1"/',
            *(f"--customize-hook={hook}" for hook in self.hooks),
            *(self.suite, str(target)),
        ]


def recipe(suite: str) -> Recipe:
    """Return the recipe for a Debian release on this machine's architecture.

    :raises AnnexkitError: an architecture that EC2 does not have.
    """
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise AnnexkitError(
            f"no EC2 instance has this machine's architecture '{machine}'",
            mend="use an x86_64 or an arm64 machine",
        )
    return Recipe(suite, ARCHITECTURES[machine], options=apt_options())


def apt_options() -> tuple[str, ...]:
    """Return how this system's apt reaches its mirrors, as lines of apt.conf(5).

    The machines use the same mirrors: its proxies, and whether a mirror that stands
    still (a snapshot, an internal copy) may be older than its index says.
    """
    keys = (
        "Acquire::http::Proxy",
        "Acquire::https::Proxy",
        "Acquire::Check-Valid-Until",
        "Acquire::Check-Date",
    )
    dumped = run("apt-config", "dump", "--no-empty", *keys).stdout
    return tuple(line for line in dumped.splitlines() if line.strip())


def ensure(
    recipe: Recipe, cache: Path, podman: Podman, progress: Progress
) -> BaseImage:
    """Make the base image unless it is there, and return what names it.

    Two processes that want it at once build it once.

    :param cache: folder for the root file system's tarball.
    :raises AnnexkitError: mmdebstrap or podman failed.
    """
    folder = cache / "rehearsal"
    folder.mkdir(parents=True, exist_ok=True)
    tarball = folder / f"base-{recipe.suite}-{recipe.digest}.tar"
    with FileLock(f"{tarball}.lock"):
        if not tarball.exists() or not _described(tarball).exists():
            _build(recipe, tarball, progress)
        base = BaseImage.model_validate_json(_described(tarball).read_text())
        if not podman.has_image(base.ref):
            progress("base image: importing into podman")
            podman.import_image(tarball, base.ref)
    return base


def catalogue(base: BaseImage) -> str:
    """Return moto's list of AMIs (``MOTO_AMIS_PATH``): the base image alone."""
    architectures = {debian: ec2 for ec2, debian in ARCHITECTURES.items()}
    architecture = architectures[base.name.split("-")[2]]
    ami = {
        "ami_id": base.ami_id,
        "name": base.name,
        "owner_id": OWNER,
        "image_location": f"amazon/{base.name}",
        "architecture": "arm64" if architecture == "aarch64" else architecture,
        "description": f"Debian {RELEASES.get(base.suite, base.suite)} (rehearsal)",
        "creation_date": base.created,
        "hypervisor": "xen",
        "image_type": "machine",
        "public": True,
        "root_device_name": ROOT_DEVICE,
        "root_device_type": "ebs",
        "sriov": "simple",
        "state": "available",
        "virtualization_type": "hvm",
    }
    return json.dumps([ami], indent=2) + "\n"


def describe(recipe: Recipe, content: str, when: float) -> BaseImage:
    """Name a built image as Debian names its AMIs.

    :param content: SHA-256 of the tarball; the AMI id follows from it.
    :param when: seconds since the epoch.
    """
    moment = time.gmtime(when)
    serial = int(recipe.digest[:6], 16) % 10000
    release = RELEASES.get(recipe.suite, recipe.suite)
    day = time.strftime("%Y%m%d", moment)
    return BaseImage(
        suite=recipe.suite,
        digest=recipe.digest,
        ami_id=f"ami-{content[:17]}",
        name=f"debian-{release}-{recipe.architecture}-{day}-{serial:04d}",
        created=time.strftime("%Y-%m-%dT%H:%M:%S.000Z", moment),
        ref=f"localhost/annexkit-base:{recipe.suite}-{content[:17]}",
    )


def _described(tarball: Path) -> Path:
    return tarball.with_suffix(".json")


def _build(recipe: Recipe, tarball: Path, progress: Progress) -> None:
    progress(f"base image: building Debian {recipe.suite} ({recipe.architecture})")
    prefix = f"build-{recipe.digest}-"
    for left in tarball.parent.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)  # of a build that was killed
    with tempfile.TemporaryDirectory(dir=tarball.parent, prefix=prefix) as name:
        overlay, target = Path(name, "overlay"), Path(name, "root.tar")
        for path, text in recipe.files:
            write_beside(overlay / path, text)
            (overlay / path).chmod(0o755 if text.startswith("#!") else 0o644)
        _follow(recipe.command(overlay, target), progress)
        with target.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        described = describe(recipe, content, time.time())
        target.replace(tarball)
        write_beside(_described(tarball), described.model_dump_json(indent=2) + "\n")


def _follow(command: list[str], progress: Progress) -> None:
    """Run mmdebstrap and hand on what it is doing.

    Not through :func:`annexkit.process.run`, which keeps all output to the end.
    """
    said: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stderr or ():
            said.append(line.rstrip())
            for step in _steps(line):
                progress(f"base image: {step}")
    if process.returncode != 0:
        raise AnnexkitError(
            f"mmdebstrap failed: {' / '.join(said[-8:])}",
            where=command[-1],
            mend="check that apt-get update works on this machine",
        )


def _steps(line: str) -> Iterator[str]:
    """Yield the step that a line of mmdebstrap's progress names."""
    head, _, rest = line.strip().partition(" ")
    if head == "I:" and rest.endswith("..."):
        yield rest.removesuffix("...")

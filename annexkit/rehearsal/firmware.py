"""A machine's firmware: what makes unmodified cloud-init see an EC2 instance.

cloud-init asks dmidecode(8) and systemd-detect-virt(1), and reads /sys/class/dmi/id
where the host has one. The two programs lie in /usr/local, so that the package manager
may replace the real ones while a machine runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from annexkit.rehearsal.wire import ApiError

# Where the cloud's API answers inside a machine; link-local, and nothing of AWS's own.
API_ADDRESS, API_PORT = "169.254.171.1", 80
# Below /run, which is no part of any image. Services get it, login shells do not.
SYSTEMD = "/run/systemd/system.conf.d/90-firmware.conf"
LIBRARIES = Path("/usr/lib")
LOGIND = "/run/systemd/system/systemd-logind.service.d/90-firmware.conf"
FAKETIME = "/run/firmware/libfaketime.so.1"
DMI = Path("/sys/devices/virtual/dmi/id")
VENDOR = "Amazon EC2"

DMIDECODE = """\
#!/bin/sh
case "$*" in
*system-uuid*|*system-serial-number*) echo {uuid} ;;
*-manufacturer*|*-vendor*) echo '{vendor}' ;;
*system-product-name*) echo {instance_type} ;;
*baseboard-asset-tag*) echo {instance_id} ;;
esac
"""

DETECT_VIRT = """\
#!/bin/sh
quiet=no
for option in "$@"; do
  case "$option" in
  -q | --quiet) quiet=yes ;;
  -c | --container | -r | --chroot | --private-users)
    [ $quiet = yes ] || echo none
    exit 1
    ;;
  esac
done
[ $quiet = yes ] || echo amazon
"""


def system_uuid(instance_id: str) -> str:
    """Return the machine's UUID; EC2's begin with ``ec2``."""
    digits = "ec2" + hashlib.sha256(instance_id.encode()).hexdigest()
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32])
    return "-".join(parts)


def install(
    folder: Path, instance_id: str, instance_type: str, dmi: Path = DMI
) -> list[tuple[Path, str, str]]:
    """Write a machine's firmware to *folder* and return what to mount where.

    :param dmi: where this host's own firmware shows; covered when it is there, since
        a container sees its host's.
    :return: (path here, path inside, mount options).
    """
    folder.mkdir(parents=True, exist_ok=True)
    uuid = system_uuid(instance_id)
    values = {
        "uuid": uuid,
        "vendor": VENDOR,
        "instance_type": instance_type,
        "instance_id": instance_id,
    }
    mounts = [
        (_program(folder / "dmidecode", DMIDECODE.format(**values)), "local/sbin"),
        (_program(folder / "systemd-detect-virt", DETECT_VIRT), "local/bin"),
    ]
    found = [(path, f"/usr/{place}/{path.name}", "ro") for path, place in mounts]
    return [*found, *_table(folder / "dmi", values, dmi)]


def _program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def environment_file(folder: Path, **more: str) -> tuple[Path, str, str]:
    """Write what systemd hands to every service: where the API is; return its mount."""
    values = {"AWS_ENDPOINT_URL": f"http://{API_ADDRESS}:{API_PORT}", **more}
    written = " ".join(f'"{name}={value}"' for name, value in values.items())
    path = folder / "environment.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"[Manager]\nDefaultEnvironment={written}\n")
    return path, SYSTEMD, "ro"


def clock_files(
    folder: Path, seconds: float, libraries: Path = LIBRARIES
) -> list[tuple[Path, str, str]]:
    """Return the mounts that set the clocks of a machine's programs ahead.

    Services get it from systemd, sessions from /etc/environment (pam_env(8)). The
    library is this host's own: made for an older C library, it serves a newer one.

    :raises ApiError: this host has no libfaketime.
    """
    if not seconds:
        return [environment_file(folder)]
    found = sorted(libraries.glob("*/faketime/libfaketime.so.1"))
    if not found:
        raise ApiError("InternalError", "not installed: libfaketime", 500)
    values = {
        "LD_PRELOAD": FAKETIME,
        "FAKETIME": f"{seconds:+g}s",
        "NO_FAKE_STAT": "1",
    }
    session = folder / "environment"
    text = "".join(f"{name}={value}\n" for name, value in values.items())
    mounts = [environment_file(folder, **values)]
    # Under the library it fails, and then no second session can be opened.
    logind = folder / "logind.conf"
    logind.write_text("[Service]\nUnsetEnvironment=LD_PRELOAD\n")
    session.write_text(text)
    return [
        *mounts,
        (session, "/etc/environment", "ro"),
        (logind, LOGIND, "ro"),
        (found[0], FAKETIME, "ro"),
    ]


def hosts_file(
    folder: Path, address: str, name: str, others: Iterable[tuple[str, str]] = ()
) -> tuple[Path, str, str]:
    """Write the machine's /etc/hosts, in place of EC2's DNS, and return its mount.

    podman's would hold this host's names.

    :param others: (address, name) of what else a DNS would know.
    """
    more = "".join(f"{address} {name}\n" for address, name in others)
    short = name.partition(".")[0]
    path = folder / "hosts"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "127.0.0.1 localhost\n"
        "::1 localhost ip6-localhost ip6-loopback\n"
        f"{address} {name} {short}\n{more}"
    )
    return path, "/etc/hosts", "rw"


def _table(
    folder: Path, values: dict[str, str], dmi: Path
) -> list[tuple[Path, str, str]]:
    if not dmi.is_dir():
        return []
    folder.mkdir(exist_ok=True)
    table = {
        "bios_vendor": values["vendor"],
        "board_asset_tag": values["instance_id"],
        "board_vendor": values["vendor"],
        "chassis_vendor": values["vendor"],
        "product_name": values["instance_type"],
        "product_serial": values["uuid"],
        "product_uuid": values["uuid"],
        "sys_vendor": values["vendor"],
    }
    for name, value in table.items():
        (folder / name).write_text(f"{value}\n")
    return [(folder, str(dmi), "ro")]

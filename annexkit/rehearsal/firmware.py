"""A machine's firmware: what makes unmodified cloud-init see an EC2 instance.

cloud-init asks dmidecode(8) and systemd-detect-virt(1), and reads /sys/class/dmi/id
where the host has one. The two programs lie in /usr/local, so that the package manager
may replace the real ones while a machine runs.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

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


def hosts_file(folder: Path, address: str, name: str) -> tuple[Path, str, str]:
    """Write the machine's /etc/hosts, in place of EC2's DNS, and return its mount.

    podman's would hold this host's names.
    """
    short = name.partition(".")[0]
    path = folder / "hosts"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "127.0.0.1 localhost\n"
        "::1 localhost ip6-localhost ip6-loopback\n"
        f"{address} {name} {short}\n"
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

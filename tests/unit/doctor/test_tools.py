from __future__ import annotations

import pytest

from annexkit.doctor.lines import Status
from annexkit.doctor.tools import folder, plugin, same_key

LISTED = """\
/h/.config/packer/plugins/github.com/hashicorp/amazon/packer-plugin-amazon_v1.8.0_x5.0_linux_amd64
/h/.config/packer/plugins/github.com/hashicorp/docker/packer-plugin-docker_v1.0.9_x5.0_linux_amd64
"""


@pytest.mark.parametrize(
    ("wanted", "listed", "statuses"),
    [
        ("1.8.0", LISTED, [Status.OK]),
        ("1.0.9", LISTED, [Status.WARNING]),
        ("1.8.0", "", [Status.WARNING]),
        ("1.8.0", None, [Status.UNCHECKED]),
        ("1.8.1", LISTED, [Status.WARNING, Status.WARNING]),
    ],
)
def test_the_plugin_is_the_pinned_one(
    wanted: str, listed: str | None, statuses: list[Status]
) -> None:
    assert [line.status for line in plugin(wanted, listed)] == statuses


@pytest.mark.parametrize(
    ("in_ec2", "status"),
    [
        ("ssh-ed25519 AAAA alice\n", Status.OK),
        ("ssh-ed25519 BBBB alice", Status.WRONG),
        ("", Status.UNCHECKED),
    ],
)
def test_keys_are_the_same_whatever_their_comments(in_ec2: str, status: Status) -> None:
    assert same_key("p", in_ec2, "ssh-ed25519 AAAA annexkit", "r").status is status


def test_a_folder_is_well_without_trouble() -> None:
    assert folder("/x", "", "a").status is Status.OK
    line = folder("/x", "full", "a")
    assert (line.status, line.mend) == (Status.WRONG, "a")

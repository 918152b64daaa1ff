"""Package lists: read, compared, and the packages that matter first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annexkit.publish.packages import (
    Change,
    How,
    Kind,
    Package,
    compare,
    kind_of,
    parse,
)

OLD = """\
adduser\t3.152\tall
condor\t23.9.6+dfsg-2.1\tamd64
libc6\t2.41-12\tamd64
linux-image-6.12.43+deb13-cloud-amd64\t6.12.43-1\tamd64
linux-image-cloud-amd64\t6.12.43-1\tamd64
podman\t5.4.2+ds1-1\tamd64
zstd\t1.5.7\tamd64
"""
NEW = """\
adduser\t3.152\tall
condor\t23.9.7+dfsg-1\tamd64
curl\t8.14.1\tamd64
libc6\t2.41-12+deb13u1\tamd64
linux-image-6.12.48+deb13-cloud-amd64\t6.12.48-1\tamd64
linux-image-cloud-amd64\t6.12.48-1\tamd64
podman\t5.4.2+ds1-2\tamd64
"""


def test_htcondor_kernel_and_runtime_come_first() -> None:
    found = compare(parse(OLD), parse(NEW))
    assert [(c.how, c.kind, c.name) for c in found.changes] == [
        (How.CHANGED, Kind.HTCONDOR, "condor"),
        (How.REMOVED, Kind.KERNEL, "linux-image-6.12.43+deb13-cloud-amd64"),
        (How.ADDED, Kind.KERNEL, "linux-image-6.12.48+deb13-cloud-amd64"),
        (How.CHANGED, Kind.KERNEL, "linux-image-cloud-amd64"),
        (How.CHANGED, Kind.RUNTIME, "podman"),
        (How.ADDED, Kind.OTHER, "curl"),
        (How.CHANGED, Kind.OTHER, "libc6"),
        (How.REMOVED, Kind.OTHER, "zstd"),
    ]
    assert found.equal == 1


def test_a_change_has_both_versions_and_the_others_one() -> None:
    found = compare(parse(OLD), parse(NEW))
    condor, (curl, *_) = found.changes[0], found.of(How.ADDED)[-1:]
    assert (condor.old, condor.new) == (("23.9.6+dfsg-2.1",), ("23.9.7+dfsg-1",))
    assert (curl.old, curl.new) == ((), ("8.14.1",))


def test_as_data_it_is_plain() -> None:
    data = compare(parse(OLD), parse(NEW)).as_data()
    assert data["counts"] == {"added": 2, "removed": 2, "changed": 4, "equal": 1}
    assert data["changes"][0] == {
        "how": "changed",
        "kind": "HTCondor",
        "name": "condor",
        "arch": "amd64",
        "old": ["23.9.6+dfsg-2.1"],
        "new": ["23.9.7+dfsg-1"],
    }


def test_several_versions_of_one_package_are_kept_beside_each_other() -> None:
    old = parse("kernel-core\t6.1-1\tx86_64\nkernel-core\t6.1-2\tx86_64\n")
    new = parse("kernel-core\t6.1-2\tx86_64\nkernel-core\t6.1-3\tx86_64\n")
    (change,) = compare(old, new).changes
    assert change == Change(
        How.CHANGED,
        Kind.KERNEL,
        "kernel-core",
        "x86_64",
        ("6.1-1", "6.1-2"),
        ("6.1-2", "6.1-3"),
    )


def test_architectures_of_one_package_are_told_apart() -> None:
    old = parse("libc6\t1\tamd64\nlibc6\t1\ti386\n")
    new = parse("libc6\t2\tamd64\nlibc6\t1\ti386\n")
    (change,) = compare(old, new).changes
    assert (change.name, change.arch) == ("libc6", "amd64")


def test_a_line_without_an_architecture_is_read() -> None:
    assert parse("condor\t23.9.6\n") == {
        ("condor", ""): Package("condor", "", ("23.9.6",))
    }


@pytest.mark.parametrize("line", ["condor", "\t1.0\tall", "condor\t\tall", ""])
def test_what_is_no_package_is_named_with_its_line(line: str) -> None:
    with pytest.raises(ValueError, match="line 2 is no package"):
        parse(f"adduser\t1\tall\n{line}\n")


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (
            Kind.HTCONDOR,
            "condor htcondor minicondor condor-annex-ec2 libcondor-utils23.9 "
            "libclassad24 python3-htcondor python3-condor condor-classads classads",
        ),
        (
            Kind.KERNEL,
            "linux-image-cloud-amd64 linux-image-6.12.48+deb13-amd64 linux-aws "
            "linux-headers-amd64 kernel kernel-core kernel-modules-core kernel6.12",
        ),
        (
            Kind.RUNTIME,
            "apptainer apptainer-suid singularity-ce docker.io docker-ce containerd "
            "containerd.io podman crun runc conmon",
        ),
        (
            Kind.OTHER,
            "condorcet linux-libc-dev linux-base libc6 dockerize python3-docker "
            "kernelshark runcible curl",
        ),
    ],
)
def test_a_package_is_told_by_its_name(kind: Kind, names: str) -> None:
    assert {name: kind_of(name) for name in names.split()} == dict.fromkeys(
        names.split(), kind
    )


lists = st.dictionaries(
    st.tuples(st.sampled_from(["condor", "a", "b", "c"]), st.sampled_from(["x", "y"])),
    st.sampled_from([("1",), ("2",), ("1", "2")]),
).map(lambda found: {key: Package(*key, found[key]) for key in found})


@given(lists, lists)
def test_the_way_back_is_the_way_there_turned_round(
    old: dict[tuple[str, str], Package], new: dict[tuple[str, str], Package]
) -> None:
    there, back = compare(old, new), compare(new, old)
    assert there.equal == back.equal == len({*old, *new}) - len(there.changes)
    turned = {How.ADDED: How.REMOVED, How.REMOVED: How.ADDED, How.CHANGED: How.CHANGED}
    assert back.changes == tuple(
        Change(turned[c.how], c.kind, c.name, c.arch, c.new, c.old)
        for c in there.changes
    )
    # The changes are all that is needed to make one list of the other.
    made = dict(old)
    for change in there.changes:
        key = (change.name, change.arch)
        if change.new:
            made[key] = Package(*key, change.new)
        else:
            del made[key]
    assert made == new


@given(lists)
def test_a_list_does_not_differ_from_itself(
    one: dict[tuple[str, str], Package],
) -> None:
    assert compare(one, one).changes == ()
    assert compare(one, one).equal == len(one)

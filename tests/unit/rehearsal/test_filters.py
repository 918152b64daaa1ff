from __future__ import annotations

import pytest

from annexkit.rehearsal import filters
from annexkit.rehearsal.filters import IMAGE_PATHS, INSTANCE_PATHS, Filter
from annexkit.rehearsal.wire import parse
from tests.unit.rehearsal.samples import a_call

IMAGE = parse(
    "<item><name>debian-13-amd64-20240517-0001</name><imageState>available</imageState>"
    "<rootDeviceType>ebs</rootDeviceType>"
    "<blockDeviceMapping><item><ebs><snapshotId>snap-1</snapshotId></ebs></item>"
    "<item><ebs><snapshotId>snap-2</snapshotId></ebs></item></blockDeviceMapping>"
    "<tagSet><item><key>Name</key><value>n.1</value></item>"
    "<item><key>empty</key><value/></item></tagSet></item>"
)


@pytest.mark.parametrize(
    ("name", "values", "passes"),
    [
        ("name", ["debian-13-amd64-*"], True),
        ("name", ["debian-1?-*-0001"], True),
        ("name", ["debian-13"], False),
        ("name", ["other", "*0001"], True),
        ("name", ["[d]ebian-13-amd64-20240517-0001"], False),
        ("state", ["pending"], False),
        ("root-device-type", ["ebs"], True),
        ("imds-support", ["v2.0"], False),
        ("block-device-mapping.snapshot-id", ["snap-2"], True),
        ("tag:Name", ["n.1"], True),
        ("tag:Name", ["n1"], False),
        ("tag:Name", ["nx1"], False),
        ("tag:empty", [""], True),
        ("tag:none", ["*"], False),
        ("tag-key", ["Name", "x"], True),
        ("tag-key", ["name"], False),
        ("name", [], False),
    ],
)
def test_an_image_passes_a_filter(name: str, values: list[str], passes: bool) -> None:
    one = Filter(name, tuple(values))
    assert filters.matches(IMAGE, [one], IMAGE_PATHS) is passes


def test_every_filter_must_let_it_pass() -> None:
    good, bad = Filter("state", ("available",)), Filter("name", ("x",))
    assert filters.matches(IMAGE, [good, good], IMAGE_PATHS)
    assert not filters.matches(IMAGE, [good, bad], IMAGE_PATHS)


def test_a_star_after_a_backslash_is_a_star() -> None:
    item = parse("<item><name>a*c</name></item>")
    assert filters.matches(item, [Filter("name", (r"a\*c",))], IMAGE_PATHS)
    other = parse("<item><name>abc</name></item>")
    assert not filters.matches(other, [Filter("name", (r"a\*c",))], IMAGE_PATHS)


def test_filters_are_read_and_written_as_parameters() -> None:
    call = a_call(
        "x",
        Filter__1__Name="client-token",
        Filter__1__Value__1="a",
        Filter__1__Value__2="b",
        Filter__2__Name="reservation-id",
        Filter__2__Value__1="r-1",
    )
    read = filters.read(call)
    assert read == [
        Filter("client-token", ("a", "b")),
        Filter("reservation-id", ("r-1",)),
    ]
    assert filters.params(read) == call.params
    ours, others = filters.split(read, INSTANCE_PATHS)
    assert (ours, others) == ([read[0]], [read[1]])

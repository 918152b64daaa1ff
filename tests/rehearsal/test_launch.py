"""The whole way of an annex: launch, join, run jobs, end by itself, and leave nothing.

Nothing of annexkit is asked where the pool, EC2 or the node itself can be.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from annexkit import tags
from annexkit.rehearsal import pool_jobs
from annexkit.waiting import wait_for
from tests.conftest import Baked
from tests.rehearsal.annexes import IDENTITIES, LONG, Grounds, grounds

pytestmark = pytest.mark.machines

# HTCondor's master ends a minute after its start at the earliest, whatever this says.
IDLE = 30
FULL_LEASE = 2 * 3600
# In `make test` each method once and each pool once; all of them in `make test-all`.
WAYS = [
    pytest.param("25.14", "idtokens"),
    pytest.param("23.9", "password"),
    pytest.param("23.9", "idtokens", marks=pytest.mark.matrix),
    pytest.param("25.14", "password", marks=pytest.mark.matrix),
]


@pytest.mark.parametrize(("htcondor", "method"), WAYS)
def test_an_annex_from_its_launch_to_its_end(
    baked: Baked, tmp_path: Path, htcondor: str, method: str
) -> None:
    place = baked.place.copy(tmp_path / "place")
    with grounds(place, htcondor, method) as found:
        assert found.host.version.startswith(htcondor)
        from_launch_to_end(found, "23.9")


@pytest.mark.matrix
def test_an_image_with_the_newer_htcondor(baked: Baked, tmp_path: Path) -> None:
    place = baked.place.copy(tmp_path / "place")
    place.bake("--image", "debian13-c25")
    for method in IDENTITIES:
        with grounds(place, "25.14", method, BAKE_IMAGE="debian13-c25") as found:
            from_launch_to_end(found, "25.14")


def from_launch_to_end(found: Grounds, version: str) -> None:
    """Two nodes end by idleness, and beside them one of another annex by its lease."""
    found.place.stage.calm()
    one = launched(found, "leased", 1, "--idle", LONG)
    two = launched(found, "grid", 2, "--idle", f"{IDLE}s")
    jobs_complete(found, "grid", two)
    joined(found, "leased", one, version)
    joined(found, "grid", two, version)
    # From here on nobody does anything: whoever ends, ends by itself.
    found.done("extend", "--annex-name", "leased", "--lease", "20s", "--force")
    ends = {node: int(found.tag(node, tags.EXPIRES)) for node in (*two, *one)}
    found.until_ended(*one, timeout=60)
    assert time.time() >= ends[one[0]], "it ended before its lease was over"
    found.until_ended(*two, timeout=150)
    assert all(time.time() < ends[node] - FULL_LEASE / 2 for node in two), (
        "these ended by their lease, and not by idleness"
    )
    nothing_left(found)


def launched(found: Grounds, name: str, count: int, *flags: str) -> list[str]:
    """Launch an annex and return its instances, each of them verified over SSH."""
    told = found.launch(name, count, *flags)
    method, identity = IDENTITIES[found.method]
    assert (told["good"], told["failures"]) == (count, {})
    for node in told["nodes"]:
        assert (node["ssh"], node["good"]) == ("ok", True)
        assert (node["method"], node["identity"]) == (method, identity)
    ids = sorted(str(node["id"]) for node in told["nodes"])
    assert ids == sorted(found.ids(name))
    assert sorted(found.schedules(told["launch"])) == ids
    return ids


def joined(found: Grounds, name: str, ids: list[str], version: str) -> None:
    """The pool's own tool shows the nodes, and as whom they proved themselves."""
    wait_for(
        lambda: sorted(found.ads(name, "-master")) == sorted(ids),
        what="the ads of their masters",
        timeout=20,
        poll=0.5,
    )
    slots, masters = found.ads(name), found.ads(name, "-master")
    assert sorted(slots) == sorted(ids)
    _, identity = IDENTITIES[found.method]
    for ad in (*slots.values(), *masters.values()):
        assert (ad["AnnexName"], ad["AnnexOwner"]) == (name, "alice")
        assert ad["AuthenticatedIdentity"] == identity
        assert version in ad["CondorVersion"]


def jobs_complete(found: Grounds, name: str, ids: list[str]) -> None:
    done = pool_jobs.jobs(found.host, 4, name, user="alice", seconds=1, timeout=90)
    assert [job.exit_code for job in done] == [0] * 4
    ran = Counter(job.node for job in done)
    assert set(ran) <= set(ids), "a job ran where it should not"
    assert all(job.output.split()[1] == "nobody" for job in done)


def nothing_left(found: Grounds) -> None:
    """A reap finds AMIs and snapshots, which no launch makes; nothing bills."""
    said = found.told("reap", "--yes")
    assert {one["kind"] for one in said["found"]} <= {"image", "snapshot"}
    assert (said["taken"], said["failed"]) == ([], {})
    # A schedule of what ended earlier costs nothing, and deletes itself at its time.
    assert [one for one in found.left() if not one.startswith("schedule ")] == []

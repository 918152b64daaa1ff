"""Upstream's own condor_annex, unchanged, starts annexes from our registry's AMIs.

Both versions that Debian has. The client is told the AMI by nothing but the file that
``invoke registry.export`` wrote. Its exit code is 0 whatever happens, so what counts is
its words, and what EC2, the pool and the node say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from annexkit.pool.version import served, skew
from annexkit.rehearsal import pool_jobs
from annexkit.rehearsal.state import Rehearsal
from annexkit.waiting import wait_for
from tests.conftest import Baked
from tests.rehearsal.guests import Region
from tests.rehearsal.upstream import JOB, REGION, USER, Upstream, upstream
from tests.rehearsal.upstream_stock import inside, require_tokens, stock_image
from tests.stage import Place

pytestmark = [pytest.mark.machines, pytest.mark.matrix, pytest.mark.timeout(1500)]

IMAGES = {"23.9": "debian13", "25.14": "debian13-c25"}
EXPORTED = "/etc/condor/config.d/81-annexkit-images.config"
STARTED = "Annex started."
# Hours, as the client takes them: time for a job and a reboot, then the node ends.
IDLE = "0.03"
# HTCondor 23.9 looks at the idle limit no more often than it updates the collector.
OFTEN = "UPDATE_INTERVAL = 5\n"
IDLE_JOB = 1  # JobStatus (HTCondor manual, job ClassAd attributes)
SECRETS = "config.d/password_file.pl tokens.d/* passwords.d/*"
MODES = f"cd /etc/condor; stat -c '%a %U' {SECRETS} 2>/dev/null; true"
FILES = "cd /etc/condor; ls -d *.gz config.d/config.d 2>/dev/null; sha256sum */* | sort"
RESULT = (
    "systemctl is-system-running --wait || true;"
    "systemctl show --value --property=Result condor-annex-ec2.service"
)
AS_NOBODY = """\
runuser -u nobody -- sh -c 'cat /etc/condor/config.d/password_file.pl \
  /etc/condor/tokens.d/* /etc/condor/passwords.d/*; curl --max-time 5 -sS -X PUT \
  -H "X-aws-ec2-metadata-token-ttl-seconds: 60" 169.254.169.254/latest/api/token' \
  >/tmp/told 2>/dev/null || true
cat /tmp/told
"""


@dataclass(frozen=True)
class Scene:
    """A pool with upstream's client, and a place whose registry has our AMIs."""

    place: Place
    client: Upstream
    region: Region

    @property
    def rehearsal(self) -> Rehearsal:
        return self.place.stage.rehearsal

    def export(self, image: str) -> str:
        """Give the client the registry's AMI as its users do; return the AMI."""
        path = self.place.folder / f"{image}.config"
        told = ("--image", image, "--output", str(path))
        done = self.place.invoke("registry.export", *told)
        assert done.exit_code == 0, done.stderr
        self.client.configure(EXPORTED, path.read_text())
        record = self.place.registry.images[image].builds.values()
        (ami,) = {build.regions[REGION].ami for build in record}
        assert f"us_west_2.ANNEX_DEFAULT_ODI_IMAGE_ID = {ami}\n" in path.read_text()
        return str(ami)

    def launched(self, annex: str, *flags: str) -> str:
        """Start an annex of one node by the client, and return its instance."""
        done = self.client.start(annex, 1, *flags)
        assert STARTED in done.stdout, done.stdout + done.stderr
        wanted = [{"Name": "tag:htcondor:AnnexName", "Values": [annex]}]
        found = self.region.ec2.describe_instances(Filters=wanted)["Reservations"]
        (instance,) = [one for each in found for one in each["Instances"]]
        return str(instance["InstanceId"])

    def state(self, instance: str) -> str:
        return self.region.state(instance)

    def until_ended(self, instance: str, timeout: float = 300) -> None:
        wait_for(
            lambda: self.state(instance) in ("shutting-down", "terminated"),
            what=f"the end of {instance}",
            timeout=timeout,
            poll=1,
        )


@pytest.fixture
def scene(
    baked: Baked, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Scene]:
    """The pool's version is the test's parameter."""
    place = baked.place.copy(tmp_path / "place")
    stage = place.stage
    stage.calm()
    region = Region(stage.rehearsal, REGION)
    with upstream(stage.rehearsal, request.param) as client:
        try:
            yield Scene(place, client, region)
        finally:
            stage.calm()
            region.terminate_all()


@pytest.mark.parametrize("scene", ["23.9", "25.14"], indirect=True)
def test_it_starts_an_annex_of_ours_that_runs_a_job_and_ends(scene: Scene) -> None:
    version = scene.client.host.htcondor
    image = IMAGES[version]
    if image not in scene.place.registry.images:
        scene.place.bake("--image", image)
    ami = scene.export(image)
    annex = "my_annex" if version == "23.9" else "myannex"
    flags = ["-idle", IDLE]
    if version == "23.9":  # the newer client has it in its tarball, and no such flag
        flags += ["-config-dir", scene.client.config_dir({"60-often.config": OFTEN})]
    node = scene.launched(annex, *flags)
    launched_as_the_client_does(scene, node, ami)
    scene.client.until_joined(annex)
    ad = scene.client.slots(annex)[node]
    (build,) = scene.place.registry.images[image].builds
    assert (ad["AnnexImageBuild"], ad["AnnexName"]) == (build, annex)
    assert version in ad["CondorVersion"]
    job = scene.client.job(annex)
    assert (job.exit_code, job.node) == (0, node)
    assert job.output.split()[-1] == "nobody"
    before = secrets_are_kept(scene, node)
    joins_again_after_a_reboot(scene, annex, node)
    assert inside(scene.rehearsal, node, FILES) == before, "a boot changed its files"
    scene.until_ended(node)  # nobody claims it, and nobody does anything


@pytest.mark.parametrize(
    ("scene", "image", "runs"),
    [("25.14", "debian13", True), ("23.9", "debian13-c25", False)],
    indirect=["scene"],
)
def test_a_client_with_the_other_image_does_what_the_registry_says(
    scene: Scene, image: str, runs: bool
) -> None:
    """An image's HTCondor must not be newer than the pool's, and is joined even so."""
    if image not in scene.place.registry.images:
        scene.place.bake("--image", image)
    scene.export(image)
    (build,) = scene.place.registry.images[image].builds.values()
    assert (skew(build.htcondor, scene.client.host.version) == []) is runs
    shown = scene.place.invoke("registry.show", "--image", image)
    assert served(build.htcondor) in " ".join(shown.stdout.split())
    annex = f"crossed-{image}"
    node = scene.launched(annex, "-idle", "1")
    scene.client.until_joined(annex)
    assert list(scene.client.slots(annex)) == [node]
    if runs:
        job = scene.client.job(annex)
        assert (job.exit_code, job.node) == (0, node)
    else:
        assert "no match" in refused(scene, annex)


def refused(scene: Scene, annex: str) -> str:
    """Submit a job, wait until the negotiator turned it down, and return its words."""
    client = scene.client
    also = JOB[client.host.htcondor].format(annex=annex)
    cluster = pool_jobs.submit(client.host, 1, annex, also=also)
    asked = ("condor_q", cluster, "-format", "%d ", "JobStatus")
    reason = ("-format", "%s", "LastRejMatchReason")

    def said() -> str:
        words = client.host.run(USER, *asked, *reason).stdout
        status, _, why = words.partition(" ")
        assert status == str(IDLE_JOB), f"the job runs or is over: {words!r}"
        return why

    return str(wait_for(said, what="a word of the negotiator", timeout=120, poll=0.5))


def launched_as_the_client_does(scene: Scene, node: str, ami: str) -> None:
    """Without user data or metadata options: what is required, the AMI requires."""
    told = scene.region.describe(node)
    assert told["ImageId"] == ami
    assert told["MetadataOptions"]["HttpTokens"] == "required"
    asked = {"InstanceId": node, "Attribute": "userData"}
    assert not scene.region.ec2.describe_instance_attribute(**asked)["UserData"]


def secrets_are_kept(scene: Scene, node: str) -> str:
    """The pool's secrets are root's alone; return what lies in HTCondor's folders."""
    modes = inside(scene.rehearsal, node, MODES).splitlines()
    assert modes
    assert set(modes) == {"600 root"}
    assert inside(scene.rehearsal, node, AS_NOBODY) == "", "a job reads a secret"
    found = inside(scene.rehearsal, node, FILES)
    assert "config.d/00ec2-dynamic.config" in found
    assert ".gz" not in found
    assert "config.d/config.d" not in found
    return found


def joins_again_after_a_reboot(scene: Scene, annex: str, node: str) -> None:
    begun = scene.client.slots(annex)[node]["DaemonStartTime"]
    scene.region.ec2.reboot_instances(InstanceIds=[node])

    def again() -> bool:
        ad = scene.client.slots(annex).get(node, {})
        return bool(ad) and ad.get("DaemonStartTime") != begun

    wait_for(again, what=f"{node} in the pool again", timeout=120, poll=1)


@pytest.mark.parametrize("scene", ["23.9"], indirect=True)
def test_upstreams_stock_boot_package_fails_where_imdsv2_is_required(
    scene: Scene,
) -> None:
    """And works where it is not: what fails is its script, not the rehearsal."""
    ami = stock_image(scene.rehearsal, REGION)
    flags = ("-aws-on-demand-ami-id", ami)
    allowed = scene.launched("allowed", *flags)
    scene.client.until_joined("allowed")
    assert list(scene.client.slots("allowed")) == [allowed]
    require_tokens(scene.rehearsal, REGION, ami)
    node = scene.launched("required", *flags)
    assert scene.region.describe(node)["MetadataOptions"]["HttpTokens"] == "required"
    scene.region.until(node, "running")
    wait_for(
        lambda: (
            inside(scene.rehearsal, node, RESULT, seconds=180).split()[-1] != "success"
        ),
        what="the end of upstream's boot script",
        timeout=180,
        poll=1,
    )
    config = inside(scene.rehearsal, node, "ls /etc/condor/config.d; true").split()
    assert "00ec2-dynamic.config" not in config, "it has the pool's configuration"
    assert scene.client.slots("required") == {}
    assert scene.state(node) == "running", "it bills, and is in no pool"

"""Contract seed-cfn: an instance as the 2016 tool starts it, on an AMI of ours."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator

import pytest

from annexkit.process import Completed
from annexkit.rehearsal import pool_jobs
from annexkit.waiting import wait_for
from tests.conftest import Baked
from tests.rehearsal.annexes import Grounds, grounds
from tests.rehearsal.seed_stack import PROJECT, USER_DATA, Stack
from tests.stage import ROOT, Place

pytestmark = [pytest.mark.machines, pytest.mark.matrix]

IMAGE = "debian13-cfn"
PASSWORD = "/etc/condor/password"
SUBMIT = f"""\
executable = /bin/sh
arguments = "-c 'id -un; cat {PASSWORD} || echo closed'"
transfer_executable = false
should_transfer_files = YES
when_to_transfer_output = ON_EXIT
output = job.$(Cluster).$(Process).out
error = job.$(Cluster).$(Process).err
log = job.$(Cluster).log
request_cpus = 1
request_memory = 32
request_disk = 16384
requirements = ProjectID == "{PROJECT}"
job_machine_attrs = EC2InstanceID
queue
"""


@pytest.fixture(scope="module")
def place(baked: Baked, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place that has baked the image, starting from the AMI of the first bake."""
    ec2 = baked.place.stage.ec2()
    (first,) = ec2.describe_images(ImageIds=[baked.there.ami])["Images"]
    text = (ROOT / "packer" / "images" / f"{IMAGE}.pkrvars.hcl").read_text()
    for old, new in (("136693071363", "self"), ("debian-13-amd64-*", first["Name"])):
        assert old in text
        text = text.replace(old, new)
    folder = tmp_path_factory.mktemp("seed")
    (folder / f"{IMAGE}.pkrvars.hcl").write_text(text)
    settings = {
        "INVOKE_ANNEXKIT_IMAGES_DIR": str(folder),
        "INVOKE_ANNEXKIT_BAKE_IMAGE": IMAGE,
    }
    place = Place(baked.place.stage, folder / "place", settings)
    place.bake()
    return place


@pytest.fixture(scope="module")
def pool(place: Place) -> Iterator[Grounds]:
    with grounds(place, "23.9", "password") as found:
        yield found


@pytest.fixture
def stack(place: Place, pool: Grounds) -> Iterator[Stack]:
    """What there is before the stack; each test creates its own."""
    (build,) = place.registry.images[IMAGE].builds.values()
    (there,) = build.regions.values()
    stack = Stack(pool, str(there.ami))
    place.stage.calm()
    yield stack
    ids = [machine["instance"] for machine in place.stage.machines()]
    if ids:
        pool.ec2.terminate_instances(InstanceIds=ids)
    stack.delete()


def joined(pool: Grounds, instance: str) -> dict[str, str]:
    """Wait until an instance's slot is in the pool, and return its ad."""

    def found() -> dict[str, str] | None:
        asked = ("-constraint", f'EC2InstanceID == "{instance}"', "-json")
        said = pool.host.run("root", "condor_status", *asked).stdout.strip()
        return next(iter(json.loads(said or "[]")), None)

    return wait_for(found, what=f"the slot of {instance}", timeout=120, poll=0.5)


def ran(pool: Grounds) -> pool_jobs.Job:
    """Run one job of an ordinary user on the stack's instances."""
    command = ("condor_submit", "-terse", "-")
    cluster = pool.host.run("alice", *command, stdin=SUBMIT).stdout.partition(".")[0]
    (job,) = wait_for(
        lambda: pool_jobs.done(pool.host, cluster),
        what=f"job {cluster}",
        timeout=120,
        poll=0.5,
    )
    return job


def journal(pool: Grounds, instance: str, unit: str) -> str:
    """Return what a unit said in this boot; nothing while there is none."""
    asked = ("journalctl", "--boot", "--no-pager", "--unit", unit)
    return pool.on(instance, *asked, check=False).stdout


def test_the_registry_says_whose_helper_scripts_are_in_the_image(place: Place) -> None:
    (build,) = place.registry.images[IMAGE].builds.values()
    assert build.contracts == ["annexkit", "seed-cfn"]
    name, version = build.helper_scripts.split()
    assert name == "annexkit-cfn-init"
    listed = build.packages
    assert listed is not None
    rows = (place.registry_path.parent / listed.path).read_text().splitlines()
    assert f"{name}\t{version}\tall" in rows
    assert build.helper_scripts in place.invoke("registry.show").stdout


def test_an_instance_joins_by_the_password_from_s3_and_runs_jobs(
    stack: Stack, pool: Grounds
) -> None:
    stack.create()
    node = stack.launch()
    ad = joined(pool, node)
    identity = (ad["AuthenticationMethod"], ad["AuthenticatedIdentity"])
    assert identity == ("PASSWORD", "condor@password")
    assert ad["ProjectID"] == PROJECT

    calls = {
        (c["service"], c["action"], c["status"]) for c in pool.place.stage.ask("calls")
    }
    assert ("cloudformation", "DescribeStackResource", 200) in calls
    assert ("s3", "GetObject", 200) in calls

    job = ran(pool)
    assert (job.node, job.exit_code) == (node, 0)
    assert job.output.splitlines() == ["nobody", "closed"]

    owner = pool.on(node, "stat", "--format=%a %U:%G", PASSWORD).stdout
    assert owner.strip() == "600 root:root"
    value = pool.on(node, "condor_config_val", "ENCRYPT_EXECUTE_DIRECTORY").stdout
    assert value.strip() == "False"
    # The stack's commands asked the metadata service without a token: nothing of what
    # they appended is left.
    there = pool.on(node, "cat", "/etc/condor/config.d/ec2.local").stdout
    assert there.count("EC2InstanceID = ") == 1
    assert "html" not in there.lower()

    said = journal(pool, node, "condor.service")
    assert said.index("exec-condition") < said.index("Started condor.service")
    pool.ec2.reboot_instances(InstanceIds=[node])
    wait_for(
        lambda: (
            "cfn-init has been here"
            in journal(pool, node, "annexkit-contract-seed-cfn.service")
        ),
        what="the second boot",
        timeout=90,
        poll=0.5,
    )
    assert ran(pool).node == node


def test_an_idle_instance_leaves_its_group_and_ends(
    stack: Stack, pool: Grounds
) -> None:
    stack.create(Idle="10")
    node = stack.launch()
    joined(pool, node)
    pool.until_ended(node, timeout=180)
    calls = [c for c in pool.place.stage.ask("calls") if c["status"] == 200]
    made = {f"{c['service']}:{c['action']}" for c in calls}
    # EC2 stops an instance that shuts down, unless it is told to terminate it; the
    # stack's own script says so, and had to ask the metadata service who it is.
    assert "ec2:ModifyInstanceAttribute" in made
    assert "logs:CreateLogStream" in made


def test_an_instance_whose_stack_is_not_there_ends_and_never_runs_htcondor(
    stack: Stack, pool: Grounds
) -> None:
    stack.create()
    node = stack.launch(
        UserData=USER_DATA.replace("--stack ", "--stack no-"),
        InstanceInitiatedShutdownBehavior="terminate",
    )
    wait_for(
        lambda: (
            pool.state(node) == "running"
            and "Failed to start" in journal(pool, node, "cloud-final.service")
        ),
        what="cfn-init to have failed",
        timeout=90,
        poll=0.5,
    )
    log = pool.on(node, "cat", "/var/log/cloud-init-output.log").stdout
    assert "no-annex-stack" in log
    active = pool.on(node, "systemctl", "is-active", "condor.service", check=False)
    assert active.stdout.strip() == "inactive"
    timer = ("systemctl", "is-active", "annexkit-seed-cfn-idle.timer")
    assert pool.on(node, *timer).stdout.strip() == "active"
    # What the timer does half an hour later.
    unit = "annexkit-seed-cfn-idle.service"
    pool.on(node, "systemctl", "start", "--no-block", unit)
    pool.until_ended(node)


def test_an_image_without_the_contract_does_not_act_on_such_user_data(
    baked: Baked, stack: Stack, pool: Grounds
) -> None:
    stack.create()
    node = stack.launch(ImageId=baked.there.ami)
    wait_for(
        lambda: (
            pool.state(node) == "running"
            and "contract=" in journal(pool, node, "annexkit-select.service")
        ),
        what="the selector's word",
        timeout=90,
        poll=0.5,
    )
    assert pool.on(node, "cat", "/run/annexkit/contract").stdout.strip() == "none"
    assert pool.on(node, "test", "-e", PASSWORD, check=False).exit_code != 0


# What AWS's tarball looks like from outside: four scripts, a package, dependencies.
SETUP = """\
from setuptools import setup
setup(
    name="aws-cfn-bootstrap", version="2.0", packages=["cfnbootstrap"],
    scripts=["bin/" + name for name in {names}],
    install_requires=["python-daemon>=2.1", "pystache>=0.4.0"],
)
"""
SCRIPT = """\
#!/usr/bin/env python
import sys, cfnbootstrap, daemon, pystache
print("ran in", sys.prefix)
"""
NAMES = ["cfn-get-metadata", "cfn-hup", "cfn-init", "cfn-signal"]
INSTALL = """\
set -o errexit -o nounset -o pipefail
base64 --decode | tar --extract --gzip --directory /var/tmp
export ANNEXKIT_PROVISION=/var/tmp/provision ANNEXKIT_CONTRACTS=seed-cfn
export ANNEXKIT_CFN_SOURCE=aws ANNEXKIT_CFN_URL=file:///var/tmp/aws.tar.gz
export ANNEXKIT_CFN_SHA256=$1
apt-get -q update > /dev/null
. /var/tmp/provision/lib.sh
. /var/tmp/provision/helper_scripts.sh
install_helper_scripts
/opt/aws/bin/cfn-init
ls /opt/aws/bin
"""


def tarball(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755
            archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def test_a_tarball_as_awss_is_installed_on_a_machine_and_its_scripts_run(
    stack: Stack, pool: Grounds
) -> None:
    stack.create()
    node = stack.launch(UserData="")
    wait_for(lambda: pool.state(node) == "running", what=node, timeout=90, poll=0.5)
    top = "aws-cfn-bootstrap-2.0"
    source = {
        f"{top}/setup.py": SETUP.format(names=NAMES).encode(),
        f"{top}/cfnbootstrap/__init__.py": b"",
        **{f"{top}/bin/{name}": SCRIPT.encode() for name in NAMES},
    }
    aws = tarball(source)
    provision = {
        f"provision/{path.relative_to(ROOT / 'provision')}": path.read_bytes()
        for path in (ROOT / "provision").rglob("*.sh")
    }
    sent = base64.b64encode(tarball({**provision, "aws.tar.gz": aws})).decode()

    def install(sha256: str) -> Completed:
        command = ("bash", "-c", INSTALL, "bash", sha256)
        return pool.on(node, *command, stdin=sent, check=False)

    refused = install("0" * 64)
    assert refused.exit_code != 0
    assert f"wanted {'0' * 64}" in refused.stderr
    done = install(hashlib.sha256(aws).hexdigest())
    assert done.exit_code == 0, done.stderr
    said = done.stdout.splitlines()
    assert "annexkit: helper scripts: aws-cfn-bootstrap 2.0" in said
    assert said[-5:] == ["ran in /opt/aws/cfn-bootstrap", *NAMES]

"""The provisioning steps of the EL images, run by real dnf and rpm.

Not a bake: no mirror of AlmaLinux can be reached here. A systemd machine says that it
is AlmaLinux, its packages come from the signed repositories of :mod:`el_world`, and the
steps are told what the real recipes say, but for the repositories' addresses and keys.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from annexkit.bake.recipe import HTCondor, Image
from annexkit.bake.template import REMOTE
from annexkit.waiting import wait_for
from tests.rehearsal.el_machine import Machine, World, machine, world

__all__ = ["machine", "world"]
pytestmark = [pytest.mark.machines, pytest.mark.matrix]

UNTIL_HTCONDOR = ("10-system", "15-repositories", "20-htcondor")


def test_alma9_osg_is_the_guides_stack_and_leaves_nothing_of_the_bake(
    world: World, machine: Machine
) -> None:
    owner = machine.says("rpm", "--query", "--file", "/usr/lib/os-release")
    assert owner == "almalinux-release-9.6-1.el9.noarch"
    image = world.recipe("alma9-osg")
    machine.steps(image, *UNTIL_HTCONDOR)
    assert not machine.has("/usr/bin/aws")
    used = "\n".join(machine.left_over())
    for name in ("epel", "osg"):
        assert f"annexkit-{name}.repo" in used
        assert f"rpm-gpg/annexkit-{name}" in used
        assert f"{name} public key" in used
    rest = image.steps[len(UNTIL_HTCONDOR) :]
    machine.steps(image, *rest[: rest.index("80-record") + 1])
    packages = machine.says("cat", f"{REMOTE}/packages.tsv").splitlines()
    described = json.loads(machine.says("cat", "/etc/annexkit/image.json"))
    machine.steps(image, "90-hygiene", "95-validate")

    # OSG's HTCondor by priority: EPEL's is 74 series newer.
    assert machine.condor() == "condor-25.0.4-1.el9.noarch"
    assert (described["htcondor"], described["htcondor_source"]) == (
        "25.0.4",
        "repository",
    )
    assert "condor\t25.0.4-1.el9\tnoarch" in packages
    assert packages == sorted(packages)
    assert {line.split("\t")[0] for line in packages} >= {*image.packages, "voms"}
    assert "tzdata\t2-1.el9\tnoarch" in packages  # brought up to date
    assert not any(line.startswith("gpg-pubkey") for line in packages)
    assert f"{described['helper_scripts']} all".replace(" ", "\t") in packages

    states = {
        unit: machine.run("systemctl", "is-enabled", unit).stdout.strip()
        for unit in (
            *("fetch-crl.timer", "annexkit-fetch-crl.service", "sshd.service"),
            *("condor.service", "annexkit-select.service", "cloud-config.service"),
            "annexkit-contract-seed-cfn.service",
        )
    }
    assert states.pop("condor.service") == "disabled"
    assert set(states.values()) == {"enabled"}
    # The certificate stays, the revocation list that was made in the bake does not.
    listed = machine.says("ls", "/etc/grid-security/certificates")
    assert listed == "0a1b2c3d.0"
    # OSG's own release package stays, as it is in the recipe.
    assert machine.left_over() == []
    assert machine.has("/etc/yum.repos.d/osg.repo")
    known = machine.says("dnf", "--quiet", "repolist", "--enabled").splitlines()[1:]
    assert [line.split()[0] for line in known] == ["appstream", "baseos", "osg"]


def test_what_the_2016_tools_stacks_call_comes_from_the_systems_own_repositories(
    world: World, machine: Machine
) -> None:
    image = world.recipe("alma9-osg")
    assert image.contracts == ("annexkit", "seed-cfn")
    machine.steps(image, "10-system", "40-contracts")
    owners = {
        "/usr/bin/aws": "awscli2-2.27.0-1.el9.noarch",
        "/usr/sbin/service": "initscripts-service-10.11.8-1.el9.noarch",
    }
    for path, owner in owners.items():
        assert machine.says("rpm", "--query", "--file", path) == owner
    ours = "/usr/lib/annexkit/cfn_init.py"
    for name in ("cfn-init", "cfn-get-metadata"):
        assert machine.says("readlink", f"/opt/aws/bin/{name}") == ours
    # It runs, and cannot ask: this machine has no network.
    asked = ("--stack", "s", "--resource", "r", "-c", "preinstalled", "-v")
    done = machine.run(
        "/opt/aws/bin/cfn-init", *asked, env={"ANNEXKIT_IMDS_PATIENCE": "1"}
    )
    assert done.exit_code == 1
    assert done.stderr.startswith("cfn-init: error: ")
    assert "Traceback" not in done.stderr


def test_a_system_without_an_aws_cli_is_no_base_for_such_an_image(
    world: World, machine: Machine
) -> None:
    image = world.recipe("alma9-osg")
    there = "/etc/yum.repos.d/almalinux.repo"  # without it: Enterprise Linux before 9.5
    machine.says("sed", "--in-place", "/^.appstream/,/^$/s/enabled=1/enabled=0/", there)
    done = machine.step("40-contracts", image)
    assert done.exit_code != 0
    assert "/usr/bin/aws" in done.stdout + done.stderr
    assert not machine.has("/opt/aws/bin/cfn-init")


@pytest.mark.parametrize("name", ["alma9", "al2023"])
def test_htcondors_own_repository_comes_before_every_other(
    world: World, machine: Machine, name: str
) -> None:
    if name == "al2023":  # no EPEL there: what HTCondor needs is in its own
        machine.says("dnf", "--assumeyes", "--repofrompath=x,/world/repos/epel",
                     "--enablerepo=crb", "--nogpgcheck", "install", "voms")  # fmt: skip
        amazon = 'ID="amzn"\nID_LIKE="fedora"\nVERSION_ID="2023"\n'
        machine.says("sh", "-c", f"echo '{amazon}' >/usr/lib/os-release")
    image = world.recipe(name)
    machine.steps(image)
    assert machine.condor() == "condor-24.0.20-1.el9.noarch"
    assert machine.left_over() == []
    assert not machine.has(f"{REMOTE}/provision")  # validation was the last step


@pytest.mark.parametrize(
    ("repository", "key", "refusal"),
    [
        ("unsigned", "htcondor", "not signed"),
        ("strangers", "htcondor", "GPG"),
    ],
)
def test_a_package_that_the_recipes_key_did_not_sign_is_not_installed(
    world: World, machine: Machine, repository: str, key: str, refusal: str
) -> None:
    image = upstream(world, repository, key, world.fingerprints[key])
    machine.steps(image, *UNTIL_HTCONDOR[:-1])
    done = machine.step("20-htcondor", image)
    assert done.exit_code != 0
    assert refusal in done.stdout + done.stderr
    assert "is not installed" in machine.condor()


@pytest.mark.parametrize(
    ("key", "named", "said"),
    [
        ("htcondor", "stranger", "the key of htcondor has fingerprint {htcondor}, "
         "wanted {stranger}"),
        # The right key and another one in the same file: both would be trusted.
        ("two", "osg", "has fingerprint {osg} {stranger}, wanted {osg}"),
        ("none", "osg", "cannot fetch the key of htcondor from file:///world/keys/none"),
    ],
)  # fmt: skip
def test_a_key_that_is_not_the_recipes_is_refused_before_anything_is_trusted(
    world: World, machine: Machine, key: str, named: str, said: str
) -> None:
    image = upstream(world, "htcondor", key, world.fingerprints[named])
    done = machine.step("20-htcondor", image)
    assert done.exit_code == 1
    assert said.format(**world.fingerprints) in done.stderr
    assert machine.left_over() == []
    assert "is not installed" in machine.condor()


def test_without_its_priority_osgs_htcondor_loses_and_the_bake_stops(
    world: World, machine: Machine
) -> None:
    image = world.recipe("alma9-osg")
    equal = {name: world.repository(name, name, 99) for name in image.repositories}
    image = image.model_copy(update={"repositories": equal})
    machine.steps(image, *UNTIL_HTCONDOR[:-1])
    done = machine.step("20-htcondor", image)
    assert done.exit_code == 1
    wanted = (
        "HTCondor came from repository 'annexkit-epel', the recipe wants it from 'osg'"
    )
    assert wanted in done.stderr


def test_another_series_than_the_recipes_is_refused(
    world: World, machine: Machine
) -> None:
    image = world.recipe("alma9-osg")
    condor = image.htcondor.model_copy(update={"series": "25.1"})
    image = image.model_copy(update={"htcondor": condor})
    machine.steps(image, *UNTIL_HTCONDOR[:-1])
    done = machine.step("20-htcondor", image)
    assert done.exit_code == 1
    assert "HTCondor 25.0.4 was installed, the recipe wants 25.1" in done.stderr


def test_what_the_base_leaves_off_is_on_for_the_bake_alone(
    world: World, machine: Machine
) -> None:
    image = world.recipe("alma9").model_copy(update={"enable_repositories": ()})
    machine.steps(image, *UNTIL_HTCONDOR[:-1])
    done = machine.step("20-htcondor", image)
    assert done.exit_code != 0
    assert "gsoap" in done.stdout + done.stderr  # EPEL's voms needs it from crb
    machine.steps(world.recipe("alma9"), "20-htcondor")
    assert "crb" not in machine.says("dnf", "--quiet", "repolist", "--enabled")


def test_packages_that_the_tables_know_get_their_files_and_units(
    world: World, machine: Machine
) -> None:
    image = world.recipe("alma9-osg")
    packages = (*image.packages, "osg-oasis")
    image = image.model_copy(update={"packages": packages})
    machine.steps(image, *UNTIL_HTCONDOR, "25-packages")
    assert machine.says("systemctl", "is-enabled", "autofs.service") == "enabled"
    mount = machine.says("cat", "/etc/auto.master.d/cvmfs.autofs")
    assert mount == "/cvmfs /etc/auto.cvmfs"

    # At boot lists are fetched, and one authority that fails (here: 1) breaks no node.
    machine.says("systemctl", "daemon-reload")
    machine.says("systemctl", "start", "annexkit-fetch-crl.service")
    shown = (
        "systemctl",
        "show",
        "--property=ExecMainStatus,Result",
        "fetch-crl.service",
    )
    wait_for(
        lambda: "ExecMainStatus=1" in machine.says(*shown),
        what="fetch-crl to have run",
        timeout=60,
        poll=0.5,
    )
    assert "Result=success" in machine.says(*shown)


def test_validation_names_each_thing_that_is_not_as_the_family_wants_it(
    world: World, machine: Machine
) -> None:
    image = world.recipe("alma9-osg")
    machine.steps(image, *image.steps[:-1])
    machine.says("systemctl", "disable", "--quiet", "fetch-crl.timer", "sshd.service")
    machine.says("systemctl", "enable", "--quiet", "condor.service")
    for path, text in {
        "/etc/grid-security/certificates/0a1b2c3d.r0": "old",
        "/etc/yum.repos.d/annexkit-late.repo": "[late]",
        "/boot/loader/entries/1.conf": "options root=LABEL=root quiet",
    }.items():
        machine.says(
            "sh", "-c", f"mkdir -p {Path(path).parent} && echo '{text}' >{path}"
        )
    done = machine.step("95-validate", image)
    assert done.exit_code == 1
    for said in (
        "unit fetch-crl.timer: disabled, wanted enabled (step 25)",
        "unit sshd.service: disabled, wanted enabled (step 30)",
        "unit condor.service: enabled, wanted disabled (step 20)",
        "revocation-lists: /etc/grid-security/certificates/0a1b2c3d.r0",
        "package-repositories: /etc/yum.repos.d/annexkit-late.repo",
        "console: /boot/loader/entries/1.conf has no console=ttyS0",
        "the image is not clean: 6 finding(s)",
    ):
        assert said in done.stderr
    machine.says("sh", "-c", "echo 'options $kernelopts' >/boot/loader/entries/1.conf")
    machine.says("sh", "-c", "mkdir -p /boot/grub2 && echo 'kernelopts=console=ttyS0'"
                 " >/boot/grub2/grubenv")  # fmt: skip
    assert "console:" not in machine.step("95-validate", image).stderr


def upstream(world: World, name: str, key: str, wanted: str) -> Image:
    """Return alma9 with HTCondor from another repository, or under another key."""
    image = world.recipe("alma9")
    told = {
        "url": f"file:///world/$basearch/{name}",
        "key_url": f"file:///world/keys/{key}",
        "key_fingerprint": wanted,
    }
    condor: HTCondor = image.htcondor.model_copy(update=told)
    return image.model_copy(update={"htcondor": condor})

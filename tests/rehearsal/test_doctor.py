"""The doctor in rehearsal: what is wrong is told, and its mend is typed, literally."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from annexkit import aws
from annexkit.launch import roles
from annexkit.launch.policies import NODE, node_role, scheduler_role
from annexkit.registry import Registry, RegistryFile
from tests.conftest import Baked
from tests.rehearsal.ailments import VISITS
from tests.rehearsal.annexes import Grounds, end_annexes, grounds
from tests.rehearsal.deeds import restore
from tests.rehearsal.patient import Ailment, Patient, Visit, commands, ill
from tests.stage import REGION, Place, Stage
from tests.unit.helpers import NOON

FEWEST = 30
# Not told from here on any day: the pool's own configuration is not on this machine.
ELSEWHERE = {"pool host"}


def exported(place: Place, patch: pytest.MonkeyPatch) -> None:
    """Let the calls of this process reach the rehearsal, too."""
    for name, value in place.environment.items():
        if name.startswith(("AWS_", "NO_PROXY", "no_proxy")):
            patch.setenv(name, value)


@pytest.fixture
def patient(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Patient]:
    """Somebody with an account, a checkout, and a pool that is only named."""
    place = Place(stage, tmp_path / "place")
    exported(place, monkeypatch)
    stage.calm()
    found = Patient.at(place, tmp_path / "bin")
    found.set(POOL_COLLECTOR="cm.pool.invalid")
    restore(found)  # annexes of other tests left their group
    yield found
    restore(found)


@pytest.mark.machines
@pytest.mark.matrix
@pytest.mark.parametrize("visit", VISITS, ids=lambda visit: visit.name)
def test_who_types_what_the_page_says_gets_a_better_page(
    patient: Patient, visit: Visit
) -> None:
    visit.pass_through(patient)


@pytest.fixture(scope="module")
def pool(baked: Baked, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grounds]:
    """The first bake's AMI, and a pool."""
    place = baked.place.copy(tmp_path_factory.mktemp("doctor") / "place")
    with grounds(place, "25.14", "idtokens") as found:
        yield found


@pytest.fixture
def launcher(
    pool: Grounds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Patient]:
    """Somebody who could launch."""
    place = replace(pool.place, folder=pool.place.copy(tmp_path / "place").folder)
    exported(place, monkeypatch)
    place.stage.calm()
    yield Patient.at(place, tmp_path / "bin", host=pool.host)
    end_annexes(place.stage.ec2())
    restore_roles()


def restore_roles() -> None:
    """Leave no role behind that another test could take for one of a launch."""
    cloud = aws.connect()
    for role in (node_role, scheduler_role):
        roles.remove(cloud, REGION, role(cloud, REGION))


def stop_pool(patient: Patient) -> None:
    assert patient.host is not None
    patient.host.run("root", "systemctl", "stop", "condor")


POOL_DOWN = Visit(
    "a pool that is down",
    (Ailment("stopped", "pool", "nothing listens", stop_pool),),
)


@pytest.mark.machines
def test_where_all_is_well_the_page_says_so_and_a_stopped_pool_is_told(
    launcher: Patient,
) -> None:
    page = launcher.page()
    lines = [line for found in page.values() for line in found]
    assert [line for line in lines if line["status"] == "wrong"] == []
    # What only a launch makes may not be there yet.
    not_made = {"node role", "scheduler role"}
    assert {check for check in page if ill(page, check)} <= ELSEWHERE | not_made
    assert {"permissions", "quotas", "routes", "region", "ami"} <= set(page)
    POOL_DOWN.pass_through(launcher)


def no_roles(patient: Patient) -> None:
    restore_roles()


def changed_role(patient: Patient) -> None:
    cloud = aws.connect()
    role = scheduler_role(cloud, REGION)
    roles.ensure(cloud, REGION, role, poll=0.1)
    patient.client("iam").delete_role_policy(
        RoleName=role.name, PolicyName=roles.POLICY
    )


def anothers_in_profile(patient: Patient) -> None:
    """Put another role than the nodes' into their profile."""
    cloud = aws.connect()
    roles.ensure(cloud, REGION, node_role(cloud, REGION), poll=0.1)
    iam = patient.client("iam")
    names = {role["RoleName"] for role in iam.list_roles()["Roles"]}
    if "other" not in names:
        iam.create_role(RoleName="other", AssumeRolePolicyDocument="{}")
    of_nodes = {"InstanceProfileName": NODE}
    iam.remove_role_from_instance_profile(**of_nodes, RoleName=NODE)
    iam.add_role_to_instance_profile(**of_nodes, RoleName="other")


MADE_BY_LAUNCH = (
    Visit(
        "no set",
        (
            Ailment("no role", "node role", "is not there yet", no_roles),
            Ailment("role changed", "scheduler role", "", changed_role),
        ),
    ),
    Visit(
        "another in the profile",
        (Ailment("profile", "node role", "holds another role", anothers_in_profile),),
    ),
)


@pytest.mark.machines
@pytest.mark.matrix
@pytest.mark.parametrize("visit", MADE_BY_LAUNCH, ids=lambda visit: visit.name)
def test_what_a_launch_makes_is_made_by_the_launch_that_is_printed(
    launcher: Patient, visit: Visit
) -> None:
    visit.pass_through(launcher)


def edited(change: Callable[[Registry], None]) -> Callable[[Patient], None]:
    def spoil(patient: Patient) -> None:
        RegistryFile(patient.place.registry_path).update(change)

    return spoil


def make_old(registry: Registry) -> None:
    builds = registry.images["again"].builds
    for name, build in builds.items():
        builds[name] = build.model_copy(update={"created": NOON})


def deregister(patient: Patient) -> None:
    """Take the current AMI away, past annexkit."""
    record = patient.place.registry.images["again"]
    current = record.channels["x86_64"][REGION].current
    assert current
    ami = record.builds[current].regions[REGION].ami
    patient.client("ec2").deregister_image(ImageId=ami)


BAKED = (
    Visit(
        "nothing baked",
        (Ailment("nothing", "registry", "no AMI of image 'again'", lambda _: None),),
    ),
    Visit(
        "an AMI of long ago",
        (
            Ailment("old", "registry", " old", edited(make_old)),
            Ailment("gone", "ami", "does not exist", deregister),
        ),
    ),
)


@pytest.mark.machines
@pytest.mark.matrix
def test_what_a_bake_makes_is_made_by_the_bake_that_is_printed(
    launcher: Patient, again: dict[str, str]
) -> None:
    launcher.env |= again
    for visit in BAKED:
        visit.pass_through(launcher)


ALL = [one for visit in (*VISITS, POOL_DOWN, *MADE_BY_LAUNCH, *BAKED)
       for one in visit.ailments]  # fmt: skip


def test_there_are_as_many_as_the_bar_asks_for_and_each_is_another() -> None:
    assert len({one.name for one in ALL}) == len(ALL) >= FEWEST
    assert len({(one.check, one.words) for one in ALL}) >= FEWEST


@pytest.mark.parametrize(
    ("mend", "typed"),
    [
        ("aws x y --z; or invoke z", ["aws x y --z"]),
        ("igw=$(aws x); aws z --a $igw; or b", ["igw=$(aws x)", "aws z --a $igw"]),
        ("leave m4 out: export A=1; else wait", ["export A=1"]),
        ("chmod 0400 /k, or remove it: a new one is made", ["chmod 0400 /k"]),
        ("chmod 0400 /k; a key that others saw is better replaced", ["chmod 0400 /k"]),
        ("export A= B=, and each gets its own", ["export A= B="]),
        ("wait a minute and run the same command again", []),
        ("or see: aws x y", []),
    ],
)  # fmt: skip
def test_a_mends_commands_are_its_first_words(mend: str, typed: list[str]) -> None:
    assert commands(mend) == typed

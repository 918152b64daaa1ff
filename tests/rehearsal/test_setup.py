"""Setting an account up: shown before, made once, and nothing of the user's touched.

Real command lines against the rehearsal's API, whose record of calls is the witness.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from annexkit.process import Completed
from annexkit.waiting import wait_for
from tests.conftest import Baked
from tests.rehearsal.annexes import Grounds, grounds
from tests.rehearsal.api_only import api
from tests.rehearsal.holdings import Account, changing
from tests.stage import Place, Stage, copy_checkout

Announced = Callable[[Any], Mapping[str, int]]
REGIONS = "us-west-2,eu-west-1"


@dataclass(frozen=True)
class Task:
    """One task of the set-up.

    :param announced: which calls that change something its ``--dry-run --json`` tells.
    :param shown: what people read of them in the plan.
    :param undo: the flags that take back all of it.
    :param goes: flags that only the run itself gets, such as ``--yes``.
    :param more: it is run by `make test-all` only.
    """

    name: str
    typed: tuple[str, ...]
    announced: Announced
    shown: tuple[str, ...]
    undo: tuple[str, ...] = ()
    goes: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    nothing: str = "nothing to do"
    more: bool = False


def of_pairs(plan: Any) -> Counter[str]:
    missing = [one for one in plan["regions"].values() if one == "missing"]
    return +Counter({"ImportKeyPair": len(missing)})


def of_rules(plan: Any) -> Counter[str]:
    fates = Counter(rule["fate"] for rule in plan["rules"])
    return +Counter(
        {
            "AuthorizeSecurityGroupIngress": fates["add"],  # one call a rule
            "RevokeSecurityGroupIngress": min(1, fates["take back"]),
        }
    )


def of_pieces(plan: Any) -> Counter[str]:
    return Counter(call for piece in plan["found"] for call in piece["calls"])


TASKS = (
    Task(
        "iam",
        ("iam", "--repository", "one/grid"),
        of_pieces,
        ("annexkit-publish", "annexkit-nightly", "CreatePolicy", "CreateRole"),
        goes=("--yes",),
        more=True,
    ),
    Task(
        "keypair",
        ("keypair", "--region", REGIONS),
        of_pairs,
        (
            "key pair annexkit in us-west-2 is imported (ImportKeyPair)",
            "key pair annexkit in eu-west-1 is imported (ImportKeyPair)",
        ),
    ),
    Task(
        "keypair-named",
        ("keypair", "--key-name", "annexkit-of-bob"),
        of_pairs,
        ("key pair annexkit-of-bob in us-west-2 is imported (ImportKeyPair)",),
        more=True,
    ),
    Task(
        "security-group",
        ("security-group", "--cidr", "192.0.2.0/24", "--rules", "all"),
        of_rules,
        ("add", "22", "9618", "192.0.2.0/24"),
        undo=("security-group", "--undo"),
    ),
    Task(
        "security-group-named",
        (
            *("security-group", "--group", "annexkit-annexes"),
            *("--cidr", "192.0.2.0/24", "--cidr", "2001:db8::/48"),
        ),
        of_rules,
        ("add", "22", "9618", "2001:db8::/48"),
        undo=("security-group", "--group", "annexkit-annexes", "--undo"),
        more=True,
    ),
)


@pytest.fixture(scope="module")
def api_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    root = tmp_path_factory.mktemp("setup")
    with api(root / "cloud") as rehearsal:
        yield Stage(rehearsal, copy_checkout(root / "checkout"))


@dataclass(frozen=True)
class Settler:
    """A person who sets an account up that already has things of others."""

    place: Place
    account: Account

    def types(self, *words: str) -> tuple[Completed, list[str]]:
        """Run a task that ends well; return it with the calls that changed a thing."""
        self.place.stage.calm()
        done = self.place.invoke(*words)
        assert done.exit_code == 0, done.stderr + done.stdout
        return done, changing(self.place.stage.ask("calls"))


@pytest.fixture(scope="module")
def account(api_stage: Stage) -> Account:
    """An account whose names are near to ours; made once, for nothing touches it."""
    found = Account(api_stage.rehearsal)
    found.move_in()
    return found


@pytest.fixture
def settler(api_stage: Stage, account: Account, tmp_path: Path) -> Settler:
    return Settler(Place(api_stage, tmp_path), account)


def said(done: Completed) -> str:
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "task",
    [
        pytest.param(one, id=one.name, marks=[pytest.mark.matrix] if one.more else [])
        for one in TASKS
    ],
)
def test_a_task_is_shown_done_once_and_taken_back(task: Task, settler: Settler) -> None:
    before = settler.account.holds()
    place = Place(settler.place.stage, settler.place.folder, task.env)
    settler = Settler(place, settler.account)
    shown, made = settler.types(*task.typed, "--dry-run")
    assert made == []
    assert settler.account.holds() == before
    assert [text for text in task.shown if text not in said(shown)] == []
    plan, _ = settler.types(*task.typed, "--dry-run", "--json")
    announced = task.announced(json.loads(plan.stdout))
    assert announced, "the plan tells of nothing"
    _, made = settler.types(*task.typed, *task.goes)
    assert Counter(made) == announced
    after = settler.account.holds()
    assert after > before, "nothing of the user's was changed, and something was made"
    again, made = settler.types(*task.typed, *task.goes)
    assert made == []
    assert task.nothing in said(again)
    assert settler.account.holds() == after
    if task.undo:
        take_back(task, settler)
        assert settler.account.holds() == before


def take_back(task: Task, settler: Settler) -> None:
    """Undo a task; shown before, and a second time there is nothing to do."""
    _, made = settler.types(*task.undo, "--dry-run")
    assert made == []
    plan, _ = settler.types(*task.undo, "--dry-run", "--json")
    announced = task.announced(json.loads(plan.stdout))
    _, made = settler.types(*task.undo, *task.goes)
    assert Counter(made) == announced
    again, made = settler.types(*task.undo, *task.goes)
    assert made == []
    assert task.nothing in said(again)


def test_regions_makes_nothing_and_says_the_same_twice(settler: Settler) -> None:
    before = settler.account.holds()
    first, made = settler.types("regions", "--json")
    second, made_again = settler.types("regions", "--json")
    assert made == made_again == []
    assert first.stdout == second.stdout
    assert json.loads(first.stdout)["source"] == "aws-parameters"
    assert settler.account.holds() == before


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("keypair", "--key-name", "annexkit2"), "whose private half we do not hold"),
        (("security-group", "--cidr", "0.0.0.0/0"), "--world-open"),
        (("security-group", "--group", "sg-0123456789", "--cidr", "::1"), "sg-0123"),
    ],
)
def test_what_is_refused_changes_nothing(
    settler: Settler, words: tuple[str, ...], says: str
) -> None:
    before = settler.account.holds()
    settler.place.stage.calm()
    done = settler.place.invoke(*words)
    assert done.exit_code != 0
    assert says in done.stderr
    assert changing(settler.place.stage.ask("calls")) == []
    assert settler.account.holds() == before


# Launch's own long-lived set: what it makes, and the words of the plan that tell it.
TOLD = {
    "CreateRole": "IAM role annexkit-",
    "PutRolePolicy": "IAM role annexkit-",
    "UpdateAssumeRolePolicy": "IAM role annexkit-",
    "CreateInstanceProfile": "IAM role annexkit-node and its profile",
    "AddRoleToInstanceProfile": "IAM role annexkit-node and its profile",
    "CreateSecurityGroup": "security group annexkit-annex",
    "AuthorizeSecurityGroupIngress": "security group annexkit-annex",
    "CreateScheduleGroup": "schedule group annexkit",
    "PutParameter": "SSM",
    "DeleteParameter": "SSM",
    "RunInstances": "nodes",
    "CreateTags": "lease",  # the lease that a verified node is given
    "CreateSchedule": "lease layer",
    "UpdateSchedule": "lease layer",
}
SET = {
    action for action, words in TOLD.items() if words.startswith(("IAM", "se", "sc"))
}


@pytest.fixture(scope="module")
def pool(baked: Baked, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grounds]:
    place = baked.place.copy(tmp_path_factory.mktemp("set") / "place")
    with grounds(place, "25.14", "idtokens") as found:
        yield found


@pytest.mark.machines
@pytest.mark.matrix
def test_the_set_of_a_launch_is_shown_made_once_and_taken_back(pool: Grounds) -> None:
    stage = pool.place.stage
    account, settler = (
        Account(stage.rehearsal),
        Settler(pool.place, Account(stage.rehearsal)),
    )
    pool.done("teardown", "--yes", "--all-regions")
    account.move_in()
    before = account.holds()
    flags = ("--annex-name", "first", "--count", "1")
    shown, made = settler.types("launch", *flags, "--dry-run")
    assert made == []
    assert account.holds() == before
    _, made = settler.types("launch", *flags)
    assert set(made) <= set(TOLD)
    assert {"CreateRole", "CreateSecurityGroup", "CreateScheduleGroup"} <= set(made)
    assert [one for one in set(made) if TOLD[one] not in said(shown)] == []
    with_set = account.holds()
    assert with_set > before
    shown, _ = settler.types("launch", "--annex-name", "second", "--dry-run")
    assert "is made" not in said(shown).replace("SSH key of the annex is made", "")
    _, made = settler.types("launch", "--annex-name", "second", "--count", "1")
    assert SET.isdisjoint(made)
    assert account.holds() == with_set
    for name in ("first", "second"):
        pool.done("terminate", "--annex-name", name, "--yes")
    wait_for(lambda: not stage.machines(), what="the end", timeout=60, poll=0.3)
    pool.done("teardown", "--yes", "--all-regions")
    assert account.holds() == before
    _, made = settler.types("teardown", "--yes", "--all-regions")
    assert made == []


# The pool host's own tools, as if they were installed here; its folder is a copy's.
TOOL = """\
#!/bin/sh
set -eu
if [ "$*" = LOCAL_CONFIG_DIR ]; then
  echo {folder}
  exit 0
fi
podman exec {container} rm -f {theirs}/80-annexkit-pool.config
podman cp {folder}/. {container}:{theirs} >/dev/null
exec podman exec {container} {program} "$@"
"""


@pytest.mark.machines
@pytest.mark.matrix
def test_the_pools_configuration_is_written_once(pool: Grounds, tmp_path: Path) -> None:
    folder, bin_folder = tmp_path / "config.d", tmp_path / "bin"
    folder.mkdir()
    bin_folder.mkdir()
    (folder / "99-mine.config").write_text("MINE = 1\n")
    for program in ("condor_version", "condor_config_val"):
        text = TOOL.format(
            folder=folder,
            container=pool.host.container,
            theirs="/etc/condor/config.d",
            program=program,
        )
        (bin_folder / program).write_text(text)
        (bin_folder / program).chmod(0o755)
    path = f"{bin_folder}:{pool.place.environment['PATH']}"
    here = pool.also({"PATH": path}).place
    settler = Settler(here, Account(here.stage.rehearsal))
    shown, made = settler.types("pool.config")  # nobody to ask: nothing is written
    assert [one.name for one in folder.iterdir()] == ["99-mine.config"]
    assert "ALLOW_ADVERTISE_STARTD" in shown.stdout
    assert made == []
    settler.types("pool.config", "--write")
    written = folder / "80-annexkit-pool.config"
    added = [line[1:] for line in shown.stdout.splitlines() if line.startswith("+")]
    assert written.read_text().splitlines() == added[1:], "as it was shown"
    stamp = written.stat().st_mtime_ns
    again, _ = settler.types("pool.config", "--write")
    assert "nothing to do" in said(again)
    assert written.stat().st_mtime_ns == stamp
    settler.types("pool.config", "--undo")
    again, _ = settler.types("pool.config", "--undo")
    assert "nothing to undo" in said(again)
    assert {one.name: one.read_text() for one in folder.iterdir()} == {
        "99-mine.config": "MINE = 1\n"
    }

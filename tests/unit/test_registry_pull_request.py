"""``scripts/registry-pull-request`` keeps one pull request, and no work is lost.

The real script and git, with a repository of its own to push to; ``gh`` is ours: it
answers what GitHub would say of the open pull request, and notes what it is asked.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from annexkit.process import Completed, run

pytestmark = pytest.mark.usefixtures("real_processes")
SCRIPT = Path(__file__).parents[2] / "scripts" / "registry-pull-request"
BRANCH = "annexkit-nightly"
REGISTRY = "ami_registry.json"
LIST = "ami_registry.packages/one/a.tsv"
GH = """\
#!/bin/sh
printf '%s\\n' "$*" >> "{log}"
case $* in *"--method GET"*) cat "{open}" ;; esac
case $* in "pr create"*) exit {create} ;; esac
"""


@dataclass
class Place:
    """A clone, the repository it was cloned from, and a ``gh`` that we wrote."""

    top: Path

    @property
    def clone(self) -> Path:
        return self.top / "clone"

    @property
    def left(self) -> Path:
        """What the night left, as its artefact is unpacked."""
        return self.top / "left"

    def git(self, *words: str, where: Path | None = None) -> str:
        env = os.environ | {
            "GIT_CONFIG_GLOBAL": "/dev/null",
            **{f"GIT_{who}_NAME": "one" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "one@example" for who in ("AUTHOR", "COMMITTER")},
        }
        done = run("git", "-C", where or self.clone, *words, env=env)
        return done.stdout.strip()

    def write(self, files: dict[str, str], top: Path | None = None) -> None:
        for name, text in files.items():
            path = (top or self.clone) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def commit(self, files: dict[str, str], branch: str = "main") -> str:
        """Somebody pushes this to a branch, from a clone of their own."""
        theirs = self.top / "theirs"
        if not theirs.exists():
            self.git(
                "clone", "-q", str(self.top / "origin"), str(theirs), where=self.top
            )
        self.git("fetch", "-q", where=theirs)
        known = self.git("branch", "-r", where=theirs)
        start = branch if f"origin/{branch}" in known else "main"
        self.git("checkout", "-q", "-B", branch, f"origin/{start}", where=theirs)
        self.write(files, theirs)
        self.git("add", "-A", where=theirs)
        self.git("commit", "-q", "-m", "theirs", where=theirs)
        self.git("push", "-q", "origin", branch, where=theirs)
        return self.git("rev-parse", "HEAD", where=theirs)

    def checkout(self) -> None:
        """What actions/checkout does, with all branches."""
        self.git("fetch", "-q")
        self.git("checkout", "-q", "--force", "--detach", "origin/main")

    def open(self, number: int, commit: str) -> None:
        (self.top / "open").write_text(f"{number} {commit}\n")

    def night(self, files: dict[str, str], page: str = "# The night\n") -> None:
        """A night that leaves this registry and this page."""
        here = {REGISTRY: (self.clone / REGISTRY).read_text()} | files
        pages = {"night.md": page, "night.json": "{}"} if page else {}
        folder = "build/state/nights/20260102T030405"
        self.write(here | {f"{folder}/{n}": t for n, t in pages.items()}, self.left)

    def script(self, *words: str, taken: str = "", create: int = 0) -> Completed:
        gh = self.top / "bin" / "gh"
        gh.parent.mkdir(exist_ok=True)
        names = {"log": self.top / "asked", "open": self.top / "open"}
        gh.write_text(GH.format(**names, create=create))
        gh.chmod(0o755)
        env = {
            "PATH": f"{gh.parent}:{os.environ['PATH']}",
            "HOME": str(self.top),
            "GITHUB_REPOSITORY": "one/grid",
            "BASE": "main",
            "TAKEN": taken,
        }
        return run("/bin/bash", SCRIPT, *words, check=False, env=env, cwd=self.clone)

    def offer(self, taken: str = "", create: int = 0) -> Completed:
        return self.script("offer", str(self.left), taken=taken, create=create)

    def asked(self) -> list[str]:
        log = self.top / "asked"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line for line in lines if "--method GET" not in line]

    def there(self, name: str, branch: str = BRANCH) -> str:
        return self.git("show", f"{branch}:{name}", where=self.top / "origin")

    def tip(self, branch: str = BRANCH) -> str:
        return self.git(
            "for-each-ref",
            "--format=%(objectname)",
            f"refs/heads/{branch}",
            where=self.top / "origin",
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    found = Place(tmp_path)
    found.git("init", "-q", "--bare", "-b", "main", "origin", where=tmp_path)
    found.git("clone", "-q", "origin", "clone", where=tmp_path)
    found.git("checkout", "-q", "-b", "main")
    found.write({REGISTRY: "one\n", "README": "text\n", ".gitignore": "/build/\n"})
    found.git("add", "-A")
    found.git("commit", "-q", "-m", "first")
    found.git("push", "-q", "origin", "main")
    (tmp_path / "open").write_text("")
    found.checkout()
    return found


def registry_of(place: Place) -> str:
    return (place.clone / REGISTRY).read_text()


def test_without_an_open_pull_request_a_night_begins_with_the_branch(
    place: Place,
) -> None:
    place.commit({REGISTRY: "left over\n"}, BRANCH)  # of one that was merged or closed
    place.checkout()
    done = place.script("take")
    assert (done.exit_code, done.stdout) == (0, "taken=\n")
    assert registry_of(place) == "one\n"


def test_only_a_pull_request_of_this_repository_counts(place: Place) -> None:
    place.script("take")
    [question] = (place.top / "asked").read_text().splitlines()
    assert "repos/one/grid/pulls" in question
    assert f"head=one:{BRANCH}" in question, "a fork's has another owner"
    assert "base=main" in question and "state=open" in question


def test_a_night_goes_on_from_the_open_pull_request(place: Place) -> None:
    tip = place.commit({REGISTRY: "two\n", LIST: "condor\t1\n"}, BRANCH)
    place.commit({"README": "new\n"})  # the branch moved, the registry did not
    place.checkout()
    place.open(7, tip)
    done = place.script("take")
    assert (done.exit_code, done.stdout) == (0, f"taken={tip}\n")
    assert "#7" in done.stderr
    assert registry_of(place) == "two\n"
    assert (place.clone / LIST).read_text() == "condor\t1\n"
    assert (place.clone / "README").read_text() == "new\n", "only the registry is taken"


def test_a_package_list_that_the_pull_request_takes_away_is_gone(place: Place) -> None:
    place.commit({LIST: "old\n"})
    tip = place.commit({REGISTRY: "two\n"}, BRANCH)
    theirs = place.top / "theirs"
    place.git("rm", "-q", LIST, where=theirs)
    place.git("commit", "-q", "-m", "less", where=theirs)
    place.git("push", "-q", "origin", BRANCH, where=theirs)
    tip = place.git("rev-parse", "HEAD", where=theirs)
    place.checkout()
    place.open(7, tip)
    assert place.script("take").exit_code == 0
    assert not (place.clone / LIST).exists()


def test_a_registry_that_changed_on_both_sides_is_left_to_a_person(
    place: Place,
) -> None:
    tip = place.commit({REGISTRY: "two\n"}, BRANCH)
    place.commit({REGISTRY: "a rollback\n"})
    place.checkout()
    place.open(7, tip)
    done = place.script("take")
    assert done.exit_code == 1
    assert "error: the registry on main changed while pull request #7" in done.stderr
    assert "  mend: merge it" in done.stderr
    assert registry_of(place) == "a rollback\n"


def test_nothing_new_opens_nothing(place: Place) -> None:
    place.night({})
    done = place.offer()
    assert done.exit_code == 0
    assert "nothing new" in done.stderr
    assert place.asked() == []
    assert place.tip() == ""


def test_what_a_night_wrote_becomes_a_pull_request_with_its_page(place: Place) -> None:
    place.night({REGISTRY: "two\n", LIST: "condor\t1\n"}, "# A page\n")
    place.write({"README": "spoiled\n", "tasks.py": "evil\n"}, place.left)
    done = place.offer()
    assert (done.exit_code, done.stderr) == (0, "")
    [asked] = place.asked()
    assert asked.startswith(f"pr create --repo one/grid --base main --head {BRANCH} ")
    assert (place.left / "body.md").read_text() == "# A page\n"
    assert str(place.left / "body.md") in asked
    assert place.there(REGISTRY) == "two"
    assert place.there(LIST) == "condor\t1"
    changed = place.git(
        "diff", "--name-only", "main", BRANCH, where=place.top / "origin"
    )
    assert changed.split() == [REGISTRY, LIST], "nothing else of the artefact"


def test_the_last_package_list_that_a_night_takes_away_is_gone(place: Place) -> None:
    place.commit({LIST: "old\n"})
    place.checkout()
    place.night({REGISTRY: "two\n"})
    assert place.offer().exit_code == 0
    listed = place.git(
        "ls-tree", "-r", "--name-only", BRANCH, where=place.top / "origin"
    )
    assert LIST not in listed.split()


def test_the_next_night_renews_the_same_pull_request(place: Place) -> None:
    place.night({REGISTRY: "two\n", LIST: "condor\t1\n"})
    assert place.offer().exit_code == 0
    first = place.tip()
    place.open(7, first)
    place.checkout()
    assert place.script("take").stdout == f"taken={first}\n"
    place.night({REGISTRY: "three\n"}, "# Another\n")
    assert place.offer(first).exit_code == 0
    _, asked = place.asked()
    assert asked.startswith("api --silent --method PATCH repos/one/grid/pulls/7 ")
    assert f"body=@{place.left / 'body.md'}" in asked
    assert place.there(REGISTRY) == "three"
    count = place.git(
        "rev-list", "--count", f"main..{BRANCH}", where=place.top / "origin"
    )
    assert count == "1", "one commit, on top of what the night ran from"


def test_a_night_without_news_leaves_the_open_pull_request_alone(place: Place) -> None:
    place.night({REGISTRY: "two\n"})
    assert place.offer().exit_code == 0
    tip = place.tip()
    place.open(7, tip)
    place.checkout()
    place.script("take")
    done = place.offer(tip)
    assert done.exit_code == 0
    assert "nothing new for pull request #7" in done.stderr
    assert place.tip() == tip
    assert len(place.asked()) == 1


@pytest.mark.parametrize("when", ["before the look", "after it"])
def test_what_somebody_pushed_meanwhile_is_not_overwritten(
    place: Place, when: str
) -> None:
    taken = place.commit({REGISTRY: "two\n"}, BRANCH)
    place.open(7, taken)
    place.checkout()
    place.script("take")
    pushed = place.commit({REGISTRY: "theirs\n"}, BRANCH)
    if when == "before the look":
        place.open(7, pushed)
    place.night({REGISTRY: "three\n"})
    done = place.offer(taken)
    assert done.exit_code == 1
    assert "changed" in done.stderr
    assert "\n  mend: " in done.stderr
    assert place.tip() == pushed
    assert place.asked() == []


def test_the_branch_of_a_merged_pull_request_is_used_again(place: Place) -> None:
    place.commit({REGISTRY: "merged long ago\n"}, BRANCH)
    place.checkout()
    place.night({REGISTRY: "two\n"})
    assert place.offer().exit_code == 0
    assert place.there(REGISTRY) == "two"


def test_a_page_that_is_too_long_is_cut_between_characters(place: Place) -> None:
    place.night({REGISTRY: "two\n"}, "x" + "ä" * 70_000)
    assert place.offer().exit_code == 0
    text = (place.left / "body.md").read_text(encoding="utf-8")
    assert text.startswith("x" + "ä" * 59_999 + "\n")
    assert len(text) < 65_536
    assert "among the artefacts of the run" in text


def test_a_night_that_left_no_page_offers_its_registry_all_the_same(
    place: Place,
) -> None:
    place.night({REGISTRY: "two\n"}, "")
    assert place.offer().exit_code == 0
    assert "left no page" in (place.left / "body.md").read_text()


def test_a_repository_that_lets_no_job_open_pull_requests_is_explained(
    place: Place,
) -> None:
    place.night({REGISTRY: "two\n"})
    done = place.offer(create=1)
    assert done.exit_code == 1
    assert f"the branch {BRANCH} is pushed" in done.stderr
    assert "mend: Settings, Actions" in done.stderr


def test_an_artefact_without_a_registry_is_said(place: Place) -> None:
    place.left.mkdir()
    done = place.offer()
    assert done.exit_code == 1
    assert f"error: there is no {REGISTRY} in" in done.stderr
    assert place.git("status", "--porcelain") == ""

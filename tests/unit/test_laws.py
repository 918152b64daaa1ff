"""Laws of the whole project (docs/architecture.md) that hold for every file of it."""

from __future__ import annotations

import ast
import itertools
import os
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from annexkit.process import run

ROOT = Path(__file__).parents[2]
MOST_LINES = 350

# Floors from the ground up. A module imports from floors below its own; the rooms of
# one floor that stand in one set do not import each other.
GROUND = {
    *("settings", "sections", "errors", "console", "process", "waiting"),
    *("files", "processes", "tags", "laps", "stopping", "rights"),
}
FLOORS: list[set[str]] = [
    {"aws_session"},
    {"aws", "instance_values"},
    {"instances", "amis"},
    {"registry", "journal", "ssh", "network", "userdata", "annexes"},
    {"pool"},
    {"bake", "publish", "launch", "verify", "setup", "sweep", "doctor"},
    {"flows"},
    {"commands"},
]
# Besides the doors: what talks to Packer, and what runs on a node with Python's own
# library alone.
MAY_START_PROGRAMS = re.compile(
    r"annexkit/(process\.py|processes\.py|bake/packer\w*\.py|rehearsal/.*"
    r"|commands/rehearse\.py"
    r"|verify/node_\w+\.py)$"
)
STARTERS = re.compile(
    r"os\.(system|popen|fork|forkpty|exec\w+|spawn\w+|posix_spawn\w*)$"
    r"|(subprocess|pty|multiprocessing)(\.|$)|asyncio\.create_subprocess_\w+$"
)


def modules() -> dict[str, Path]:
    """Return every module of annexkit by its dotted name."""
    found = {}
    for path in sorted((ROOT / "annexkit").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(name: str, path: Path, known: frozenset[str]) -> Iterator[str]:
    """Yield the modules of annexkit that one imports, at any depth of its code."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in known else base


def arrows() -> dict[str, set[str]]:
    known = frozenset(modules())
    return {
        name: {
            other
            for other in imported(name, path, known)
            if other.partition(".")[0] == "annexkit"
        }
        for name, path in modules().items()
    }


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def floor(name: str) -> int:
    if name in GROUND or not name:
        return -1
    return next(n for n, rooms in enumerate(FLOORS) if name in rooms)


def allowed(module: str, other: str) -> bool:
    mine, theirs = room(module), room(other)
    if mine == "rehearsal":
        return theirs in {"", "rehearsal", *GROUND}
    if theirs == "rehearsal":
        return mine == "commands"
    if mine == theirs:
        return True
    return floor(theirs) < floor(mine) or floor(mine) == floor(theirs) == -1


def test_every_room_of_annexkit_has_a_floor() -> None:
    rooms = {room(module) for module in modules()} - {"", "rehearsal"}
    assert rooms - GROUND <= set().union(*FLOORS)


def test_the_architecture_page_names_every_room_and_no_other() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    [table] = re.findall(r"^## Rooms$(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    named = set[str]()
    for one, several in re.findall(r"`annexkit/(?:(\w+)/|\{([\w,]+)\})`", table):
        named |= {one} if one else set(several.split(","))
    assert named == {room(module) for module in modules()} - {""}


def test_imports_run_downward_only() -> None:
    wrong = [
        f"{module} imports {other}"
        for module, others in arrows().items()
        for other in sorted(others)
        if not allowed(module, other)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("module", "other", "expected"),
    [
        ("annexkit.flows.reap", "annexkit.sweep.judge", True),
        ("annexkit.sweep.judge", "annexkit.journal", True),
        ("annexkit.bake.base", "annexkit.verify.checks", False),
        ("annexkit.registry.store", "annexkit.journal", False),
        ("annexkit.aws", "annexkit.instances", False),
        ("annexkit.settings", "annexkit.aws", False),
        ("annexkit.bake.base", "annexkit.flows.site", False),
        ("annexkit.flows.site", "annexkit.rehearsal.control", False),
        ("annexkit.commands.rehearse", "annexkit.rehearsal.control", True),
        ("annexkit.flows.reap", "annexkit.commands.shared", False),
        ("annexkit.rehearsal.control", "annexkit.settings", True),
        ("annexkit.rehearsal.control", "annexkit.aws", False),
    ],
)
def test_the_rule_for_arrows_is_the_designs(
    module: str, other: str, expected: bool
) -> None:
    assert allowed(module, other) is expected


def test_no_module_imports_itself_in_a_circle() -> None:
    try:
        list(TopologicalSorter(arrows()).static_order())
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def test_nothing_is_imported_by_a_name_made_at_run_time() -> None:
    wrong = [
        f"{name}: {word}"
        for name, path in modules().items()
        for word in names_used(path)
        if word in ("__import__", "importlib.import_module")
    ]
    assert wrong == []


def names_used(path: Path) -> Iterator[str]:
    """Yield the dotted names a file uses or imports, plain text of neither."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_programs_are_started_through_their_doors_only() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in modules().values()
        if not MAY_START_PROGRAMS.match(str(path.relative_to(ROOT)))
        for word in names_used(path)
        if STARTERS.match(word)
    ]
    assert wrong == []


def test_only_waiting_sleeps() -> None:
    # node_* run on a node, alone; the rehearsal injects its own slowness.
    spared = ("annexkit.waiting", "annexkit.verify.node_", "annexkit.rehearsal.")
    wrong = [
        name
        for name, path in modules().items()
        if not name.startswith(spared)
        if {"time.sleep", "asyncio.sleep"} & set(names_used(path))
    ]
    assert wrong == []


@pytest.fixture
def files(real_processes: None) -> list[Path]:
    """Every file of the checkout that is, or would be, committed."""
    listed = run(
        "git",
        *("-c", "safe.directory=*", "-C", ROOT, "ls-files", "-z"),
        *("--cached", "--others", "--exclude-standard"),
    )
    found = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert ROOT / "pyproject.toml" in found
    return [path for path in found if path.is_file()]


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8", errors="replace")


def is_code(path: Path) -> bool:
    top = path.relative_to(ROOT).parts[0]
    if top not in ("annexkit", "tasks.py", "tests", "bench", "scripts", "provision"):
        return False
    return path.suffix in (".py", ".sh") or path.read_bytes().startswith(b"#!")


def test_no_module_is_longer_than_a_person_reads(files: list[Path]) -> None:
    lengths = {p: len(text_of(p).splitlines()) for p in files if is_code(p)}
    assert len(lengths) > 50
    assert {
        str(p.relative_to(ROOT)): n for p, n in lengths.items() if n > MOST_LINES
    } == {}


def package_sources() -> Iterator[Path]:
    """Yield the files in which this machine says where its packages come from."""
    home = Path.home()
    yield Path("/etc/apt/sources.list")
    yield from sorted(Path("/etc/apt/sources.list.d").glob("*"))
    for name in ("/etc/pip.conf", "/etc/xdg/pip/pip.conf", "/etc/npmrc"):
        yield Path(name)
    for name in (".config/pip/pip.conf", ".pip/pip.conf", ".npmrc"):
        yield home / name


def package_hosts() -> set[str]:
    """Return the hosts of this machine's package sources, and the well-known ones."""
    said = [
        value
        for name, value in os.environ.items()
        if name.startswith(("PIP_", "UV_", "NPM_CONFIG_", "npm_config_"))
    ]
    said += [
        "\n".join(
            line for line in text_of(path).splitlines() if not line.startswith("#")
        )
        for path in package_sources()
        if path.is_file()
    ]
    hosts = set(
        re.findall(r"https?://(?:[^/@\s]*@)?([\w.-]+\.[\w-]+)", "\n".join(said))
    )
    # Written in halves, so that this file does not name them either.
    halves = [
        *(("py", "pi.org"), ("test.py", "pi.org"), ("files.python", "hosted.org")),
        *(("registry.npm", "js.org"), ("registry.yarn", "pkg.com")),
        *itertools.product(("deb", "security", "ftp", "snapshot"), (".debian.org",)),
        *itertools.product(("archive", "security"), (".ubuntu.com",)),
    ]
    return {h for h in hosts if not h.startswith("127.")} | {a + b for a, b in halves}


def lines_with(files: list[Path], pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in files
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_names_a_package_registry_or_mirror(files: list[Path]) -> None:
    hosts = package_hosts()
    assert "py" + "pi.org" in hosts
    pattern = re.compile(
        r"(?<![\w-])(" + "|".join(map(re.escape, sorted(hosts))) + r")(?![\w-])",
        re.IGNORECASE,
    )
    assert lines_with(files, pattern) == []


def test_no_file_names_a_path_of_the_machine_it_was_written_on(
    files: list[Path],
) -> None:
    places = {"/wo" + "rk/", "/tmp/" + "brief", "/opt/" + "wheels", f"{ROOT}/"}
    if Path.home() != Path("/root"):  # of a guest, root's home may be named
        places.add(f"{Path.home()}/")
    # A segment of another path, such as ".../network/", is none of these.
    pattern = re.compile(r"(?<![\w.}\]-])(" + "|".join(map(re.escape, places)) + ")")
    assert lines_with(files, pattern) == []


def test_no_ssh_connection_trusts_an_unknown_host(files: list[Path]) -> None:
    pattern = re.compile(
        r"AutoAdd" + r"Policy|Warning" + r"Policy"
        r"|StrictHostKey" + r"Checking[=\s\"',]+(no|off|accept-new)"
        r"|UserKnownHosts" + r"File[=\s\"',]+/dev/null",
        re.IGNORECASE,
    )
    assert lines_with([p for p in files if p.suffix != ".md"], pattern) == []


def test_only_tasks_and_tests_import_the_rehearsal(files: list[Path]) -> None:
    pattern = re.compile(r"^\s*(from|import)\s+annexkit[\w.]*.*\brehearsal\b")
    allowed_in = (
        ROOT / "tests",
        ROOT / "annexkit" / "commands",
        ROOT / "annexkit" / "rehearsal",
    )
    others = [
        path
        for path in files
        if path.suffix == ".py" and not any(path.is_relative_to(a) for a in allowed_in)
    ]
    assert lines_with(others, pattern) == []

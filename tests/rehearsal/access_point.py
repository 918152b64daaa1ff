"""An access point on which an ordinary user has annexkit, Packer and AWS credentials.

Nothing is installed there: this host's interpreter, its libraries and Packer show at
the same paths, read-only, and one folder at the same path for both to write into. So
what a test reads here is what the user there wrote.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from annexkit.process import Completed, run
from annexkit.rehearsal import condor_pool
from annexkit.rehearsal.podman import Podman
from annexkit.rehearsal.pool_host import PoolHost
from annexkit.rehearsal.pool_image import USER
from annexkit.sections import RehearsalSettings
from tests.rehearsal.conftest import CACHE
from tests.rehearsal.passage import passage
from tests.stage import LONGEST, Place, Stage, copy_checkout

NAME = "access"
IMAGES = ("again", "again2", "again3")  # one recipe under three names
HOME = f"/home/{USER}"
CREDENTIALS = f"{HOME}/.aws/credentials"
# They stand in the file, as those of a person who is away at night have to.
IN_FILE = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
NOT_THERE = (*IN_FILE, "AWS_SESSION_TOKEN", "AWS_SHARED_CREDENTIALS_FILE")
RECIPE = ".pkrvars.hcl"
PROXIES = ("http_proxy", "https_proxy", "no_proxy")
SYSTEM = ("/usr/local/bin", "/usr/bin", "/bin")
CONFIG = {
    "/etc/condor/config.d/60-access.config": f"""\
use ROLE: CentralManager
use ROLE: Submit
CONDOR_HOST = cm-{NAME}.pool.test
UID_DOMAIN = pool.test
TRUST_DOMAIN = pool.test
ENABLE_IPV6 = False
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_MIN_INTERVAL = 1
NEGOTIATOR_CYCLE_DELAY = 1
SCHEDD_INTERVAL = 2
SCHEDD_MIN_INTERVAL = 1
DAGMAN_USER_LOG_SCAN_INTERVAL = 1
"""
}


@dataclass(frozen=True)
class AccessPoint:
    """A pool host, and the place of its user's work.

    :param place: its folder shows at the same path on both sides.
    """

    host: PoolHost
    place: Place
    owner: int

    @property
    def checkout(self) -> Path:
        return self.place.stage.checkout

    @property
    def environment(self) -> dict[str, str]:
        """Return the whole environment of the user's commands; no secret is in it."""
        taken = {
            name: value
            for name, value in self.place.environment.items()
            if name.startswith(("AWS_", "INVOKE_ANNEXKIT_")) or name.lower() in PROXIES
        }
        shown = [str(Path(inside).parent) for _, inside, _ in _packer()]
        folders = (str(Path(sys.executable).parent), *shown, *SYSTEM)
        own = {
            "HOME": HOME,
            "LANG": "C.UTF-8",
            "LOGNAME": USER,
            "PATH": ":".join(dict.fromkeys(folders)),
            "USER": USER,
        }
        kept = {k: v for k, v in taken.items() if k not in NOT_THERE}
        return kept | own

    def invoke(self, *arguments: str, timeout: float = LONGEST) -> Completed:
        """Run ``invoke`` in the checkout to its end, as the user."""
        return self._run(sys.executable, "-m", "invoke", *arguments, timeout=timeout)

    def condor(self, *argv: str, timeout: float = 60) -> Completed:
        """Run a command of HTCondor's, or any other, in the checkout, as the user.

        Whether it ended well is for the caller to look at.

        :raises CommandError: it took too long; it may go on there.
        """
        return self._run(*argv, timeout=timeout)

    def _run(self, *argv: str, timeout: float) -> Completed:
        self.give()
        named = [f"--env={name}={value}" for name, value in self.environment.items()]
        return run(
            *("podman", "exec", "--user", USER, "--workdir", str(self.checkout)),
            *(*named, self.host.container, *argv),
            check=False,
            timeout=timeout,
        )

    def give(self) -> None:
        """Make the user the owner of all in the folder, the test's own files too."""
        for folder, _, files in os.walk(self.place.folder):
            for path in (Path(folder), *(Path(folder, name) for name in files)):
                with suppress(FileNotFoundError):  # its program is at work
                    os.chown(path, self.owner, self.owner, follow_symlinks=False)


@contextmanager
def access_point(
    place: Place, kept: Path, htcondor: str = "25.14"
) -> Iterator[AccessPoint]:
    """Bring an access point up, and take it down again with all that its user has.

    :param place: its registry is copied; its recipe is that of ``again``.
    :param kept: is made in the end, for a look at what the user wrote.
    """
    # DAGMan takes a log below /tmp for an error (DAGMAN_USE_STRICT), as it well may.
    with TemporaryDirectory(prefix="annexkit-access-", dir="/var/tmp") as folder:
        try:
            with _up(place, Path(folder), htcondor) as there:
                yield there
        finally:  # nobody writes any more
            rest = shutil.ignore_patterns("checkout", "cache", "recipes", "*.lock")
            shutil.copytree(Path(folder, USER), kept, symlinks=True, ignore=rest)


@contextmanager
def _up(place: Place, folder: Path, htcondor: str) -> Iterator[AccessPoint]:
    rehearsal = place.stage.rehearsal
    own, programs = folder / USER, folder / "programs"
    mounts = [(own, str(own), "rw"), *_python(programs), *_packer()]
    where = RehearsalSettings(dir=str(rehearsal.dir))
    mine = _place(place, own)
    host = condor_pool.pool_up(
        where,
        Path(),
        cache=CACHE,
        htcondor=htcondor,
        files=CONFIG,
        name=NAME,
        mounts=mounts,
    )
    try:
        # Root's home is closed to others, and what is mounted may lie below it.
        host.run("root", "chmod", "a+x", "/root")
        # A user's host knows the names of package repositories; nodes have none.
        names = "s/^hosts:.*/hosts: files dns/"
        host.run("root", "sed", "-i", names, "/etc/nsswitch.conf")
        _write_credentials(host, mine.environment)
        owner = int(host.run(USER, "id", "-u").stdout)
        pid = Podman(rehearsal.id, rehearsal.runtime).pid(host.container)
        with passage(pid, rehearsal.port):
            yield AccessPoint(host, mine, owner)
    finally:
        condor_pool.pool_down(where, Path(), NAME)


def _place(place: Place, own: Path) -> Place:
    """Copy what the user needs of a place: checkout, registry, recipes, cache."""
    stage = Stage(place.stage.rehearsal, copy_checkout(own / "checkout"))
    recipes, cache = own / "recipes", own / "cache"
    recipes.mkdir()
    recipe = Path(place.more["INVOKE_ANNEXKIT_IMAGES_DIR"], f"{IMAGES[0]}{RECIPE}")
    for image in IMAGES:
        shutil.copyfile(recipe, recipes / f"{image}{RECIPE}")
    # What was read of package repositories; not the machines' file systems.
    rest = shutil.ignore_patterns("rehearsal")
    shutil.copytree(CACHE, cache, ignore=rest)
    more = {
        **place.more,
        "INVOKE_ANNEXKIT_CACHE_DIR": str(cache),
        "INVOKE_ANNEXKIT_IMAGES_DIR": str(recipes),
    }
    copied = place.copy(own)
    return Place(stage, copied.folder, more)


def _python(folder: Path) -> list[condor_pool.Mount]:
    """Return the mounts of this interpreter and its libraries.

    The environment's own names for the interpreter lead to the system's ``python3``,
    which is another one there: a folder with names of ours lies over them.
    """
    assert sys.prefix != sys.base_prefix, "run the tests in a virtual environment"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(sys.base_prefix)
    program = (base / "bin" / version).resolve()
    folder.mkdir(parents=True)
    environment = Path(sys.executable).parent
    for name in {"python", "python3", version, Path(sys.executable).name}:
        (folder / name).symlink_to(program)
    shutil.copy2(environment / "invoke", folder / "invoke")
    system = base == Path("/usr")
    library = Path(sysconfig.get_path("stdlib"))
    bases = (program, library) if system else (base,)
    return [
        *((path, str(path), "ro") for path in (*bases, Path(sys.prefix))),
        (folder, str(environment), "ro"),
    ]


def _packer() -> list[condor_pool.Mount]:
    found = shutil.which("packer")
    return [(Path(found).resolve(), found, "ro")] if found else []


def _write_credentials(host: PoolHost, environment: Mapping[str, str]) -> None:
    lines = [f"{name.lower()} = {environment[name]}\n" for name in IN_FILE]
    write = f"umask 077 && mkdir -p {HOME}/.aws && cat >{CREDENTIALS}"
    host.run(USER, "sh", "-c", write, stdin="".join(["[default]\n", *lines]))

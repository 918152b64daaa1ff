from __future__ import annotations

import json
from pathlib import Path

import pytest

from annexkit.errors import AnnexkitError, UsageError
from annexkit.process import Completed
from annexkit.rehearsal import condor_pool, control, pool_host, pool_image, pool_jobs
from annexkit.rehearsal.pool_host import PoolHost
from annexkit.sections import RehearsalSettings
from tests.unit.rehearsal.samples import a_rehearsal


def a_host(folder: Path, name: str = "pool", address: str = "10.128.0.4") -> PoolHost:
    return PoolHost(
        name=name,
        hostname="cm.pool.test",
        address=address,
        container=f"annexkit-1-pool-{name}",
        htcondor="25.14",
        version="25.14.1",
        method="password",
        users=("alice",),
        folder=pool_host.folder_of(folder, name),
        digest="d",
    )


def saved(folder: Path, name: str = "pool", address: str = "10.128.0.4") -> PoolHost:
    host = a_host(folder, name, address)
    pool_host.save(host)
    return host


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What each program on a pool host prints; what it read is kept beside it."""
    said: dict[str, str] = {}

    def run(*args: str, stdin: str = "", **_: object) -> Completed:
        argv = args[args.index("--env") + 3 :]
        said[f"{argv[0]} read"] = stdin
        said[f"{argv[0]} argv"] = " ".join(argv[1:])
        return Completed(args, 0, said.get(argv[0], ""), "")

    monkeypatch.setattr(pool_host, "run", run)
    return said


def test_a_host_is_kept_and_read_again(tmp_path: Path) -> None:
    first, second = saved(tmp_path, "new"), saved(tmp_path, "old", "10.128.0.5")
    assert pool_host.load(first.folder) == first
    assert pool_host.standing(tmp_path) == [first, second]
    assert pool_host.load(tmp_path / "none") is None
    (first.folder / pool_host.DESCRIPTION).write_text("{}")
    with pytest.raises(AnnexkitError, match="damaged"):
        pool_host.load(first.folder)


def test_the_environment_names_the_pool_that_is_up(tmp_path: Path) -> None:
    rehearsal = a_rehearsal(tmp_path)
    assert "CONDOR_CONFIG" not in control.environment(rehearsal)
    host = saved(tmp_path)
    found = control.environment(rehearsal)
    assert found["CONDOR_CONFIG"] == str(host.folder / "condor_config")
    assert found["INVOKE_ANNEXKIT_POOL_COLLECTOR"] == "10.128.0.4:9618"
    assert found["INVOKE_ANNEXKIT_POOL_METHOD"] == "password"
    command = found["INVOKE_ANNEXKIT_POOL_TOKEN_COMMAND"]
    assert command.startswith(f"podman exec {host.container} condor_token_create ")
    assert command.format(identity="a", lifetime=1, authz="-authz READ")
    assert "INVOKE_ANNEXKIT_POOL_PASSWORD_FILE" not in found
    assert "CONDOR_CONFIG" not in control.environment(rehearsal, "other")


def test_the_password_file_is_named_when_there_is_one(tmp_path: Path) -> None:
    host = saved(tmp_path)
    path = pool_host.secrets_of(host.folder) / "condor_pool_password"
    path.parent.mkdir()
    path.touch()
    found = control.environment(a_rehearsal(tmp_path))
    assert found["INVOKE_ANNEXKIT_POOL_PASSWORD_FILE"] == str(path)


def test_pool_hosts_stand_below_the_instances_and_apart(tmp_path: Path) -> None:
    rehearsal = a_rehearsal(tmp_path)
    for number in range(6):
        address = condor_pool._address(rehearsal)
        assert address == f"10.128.0.{4 + number}"
        saved(tmp_path, f"p{number}", address)
    with pytest.raises(UsageError, match="6 pool hosts"):
        condor_pool._address(rehearsal)


def test_an_unknown_version_is_refused_with_those_that_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "running", lambda *_: a_rehearsal(tmp_path))
    with pytest.raises(UsageError) as caught:
        condor_pool.pool_up(
            RehearsalSettings(), tmp_path, cache=tmp_path, htcondor="8.8", files={}
        )
    assert all(version in caught.value.mend for version in pool_image.INSTALLS)
    assert list(tmp_path.iterdir()) == []


def test_what_is_mounted_is_a_part_of_what_was_asked_for(tmp_path: Path) -> None:
    def digest(*mounts: condor_pool.Mount) -> str:
        return condor_pool._digest("25.14", "idtokens", {}, {}, mounts)

    shown = (tmp_path, "/srv", "ro")
    assert digest(shown) == digest(shown)
    assert len({digest(), digest(shown), digest((tmp_path, "/srv", "rw"))}) == 3


def test_a_token_is_limited_as_asked(tmp_path: Path, answers: dict[str, str]) -> None:
    answers["condor_token_create"] = "eyJ.x.y\n"
    token = a_host(tmp_path).issue_token("annex@pool.test", ["READ", "WRITE"], 60)
    assert token == "eyJ.x.y"
    assert answers["condor_token_create argv"] == (
        "-identity annex@pool.test -lifetime 60 -authz READ -authz WRITE"
    )


def test_jobs_are_submitted_for_one_annex_and_told_when_all_are_done(
    tmp_path: Path, answers: dict[str, str]
) -> None:
    rows = [
        {"ProcId": 1, "JobStatus": 4, "ExitCode": 3, "LastRemoteHost": "slot1@n"},
        {"ProcId": 0, "JobStatus": 4, "ExitCode": 0, "MachineAttrEC2InstanceID0": "i"},
        {"ProcId": 2, "JobStatus": 3},
    ]
    answers["condor_submit"] = "7.0 - 7.1\n"
    answers["condor_history"] = json.dumps(rows)
    answers["cat"] = "node\nnobody\n"
    first, second = pool_jobs.jobs(a_host(tmp_path), 2, "grid")
    assert (first.id, first.node, first.exit_code) == ("7.0", "i", 0)
    assert (second.node, second.exit_code) == ("slot1@n", 3)
    assert first.output == "node\nnobody"
    assert 'requirements = AnnexName == "grid"' in answers["condor_submit read"]
    assert "queue 2" in answers["condor_submit read"]


def test_an_answer_without_a_cluster_is_an_error(
    tmp_path: Path, answers: dict[str, str]
) -> None:
    answers["condor_submit"] = "ERROR"
    with pytest.raises(AnnexkitError, match="no cluster"):
        pool_jobs.submit(a_host(tmp_path), 1, "grid")

"""Contract "annex-ec2": found in EC2, IAM and S3, and laid in for HTCondor.

The node's script runs as its unit runs it, against a metadata service and moto.
"""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator

import pytest

from annexkit.waiting import wait_for
from tests.unit.provision.conftest import NODE, Machine
from tests.unit.provision.metadata_stub import Behaviour
from tests.unit.provision.node import load
from tests.unit.provision.upstream_cloud import (
    BUCKET,
    DYNAMIC,
    ROLE,
    Cloud,
    metadata,
    serving_moto,
    tarball,
)

contract = load("contract_annex_ec2")
htcondor = load("htcondor_config")

SCRIPT = NODE.parents[1] / "libexec/condor/condor-annex-ec2"
UUID = "b4f0b9b9-c3d7-496e-9d49-21e0a6cc0f6a"
ARN = f"arn:aws:s3:::{BUCKET}/config-*.tar.gz"
TREE = {
    DYNAMIC: 'AnnexName = "grid"\nSTARTD_NOCLAIM_SHUTDOWN = 600\n',
    "tokens.d/grid.alice@pool.test": "a.token",
    "passwords.d/POOL": "s3cret",
}
FLAT = {"00ec2-dynamic.config": 'AnnexName = "grid"\n', "password_file.pl": "s3cret"}
CONFIG = "/etc/condor/config.d"


@pytest.fixture(scope="module")
def served() -> Iterator[Cloud]:
    with serving_moto() as cloud:
        yield cloud


@pytest.fixture
def cloud(served: Cloud) -> Cloud:
    served.reset()
    return served


@pytest.fixture
def node(
    cloud: Cloud, machine: Machine, behaviour: Behaviour, metadata: object
) -> Machine:
    """A node of an annex named "grid", with a tree in the one bucket it may read."""
    machine.env |= {"AWS_ENDPOINT_URL": cloud.url}
    cloud.role(ARN)
    cloud.put("config-grid.tar.gz", tarball(TREE))
    become(behaviour, cloud.instance(f"grid_{UUID}"))
    return machine


def become(behaviour: Behaviour, instance: str) -> None:
    behaviour.values = metadata(instance)


def setting_up(node: Machine, **env: str) -> tuple[int, str]:
    done = node.run("python3", "-Bs", SCRIPT, **env)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def is_ready(node: Machine) -> bool:
    return (node.root / "run/annexkit/ready").exists()


def mode_of(node: Machine, path: str) -> str:
    return f"{stat.S_IMODE((node.root / path.lstrip('/')).stat().st_mode):o}"


def all_files(node: Machine) -> dict[str, str]:
    return {
        str(path.relative_to(node.root)): path.read_text()
        for path in sorted(node.root.rglob("*"))
        if path.is_file()
    }


def test_a_tree_is_laid_in_and_only_then_the_node_is_ready(node: Machine) -> None:
    code, said = setting_up(node)
    assert (code, is_ready(node)) == (0, True)
    assert "annex grid, tarball of the tree layout" in said
    assert node.read(f"{CONFIG}/00ec2-dynamic.config") == TREE[DYNAMIC]
    assert node.read("/etc/condor/tokens.d/grid.alice@pool.test") == "a.token"
    assert node.read("/etc/condor/passwords.d/POOL") == "s3cret"


def test_a_flat_tarball_is_laid_in_for_config_d(node: Machine, cloud: Cloud) -> None:
    cloud.put("config-grid.tar.gz", tarball(FLAT))
    code, said = setting_up(node)
    assert (code, is_ready(node)) == (0, True)
    assert "tarball of the flat layout" in said
    assert node.read(f"{CONFIG}/password_file.pl") == "s3cret"
    assert not (node.root / "etc/condor/config.d/config.d").exists()


def test_secrets_are_roots_alone_and_configuration_is_not(node: Machine) -> None:
    previous = os.umask(0)  # the worst that a unit could inherit
    try:
        setting_up(node)
    finally:
        os.umask(previous)
    secrets = ("tokens.d/grid.alice@pool.test", "passwords.d/POOL")
    assert [mode_of(node, f"/etc/condor/{name}") for name in secrets] == ["600", "600"]
    assert [mode_of(node, f"/etc/condor/{f}") for f in ("tokens.d", "passwords.d")] == [
        "700",
        "700",
    ]
    names = ("00ec2-dynamic.config", "49-annexkit-instance.config", "50-annex.config")
    assert {mode_of(node, f"{CONFIG}/{name}") for name in names} == {"644"}


def test_nothing_of_the_tarball_is_left_but_its_files(node: Machine) -> None:
    _, said = setting_up(node)
    names = [path.name for path in node.root.rglob("*") if path.is_file()]
    assert not [name for name in names if "tar" in name or "annexkit-new" in name]
    assert "s3cret" not in said
    assert "a.token" not in said


def test_a_second_boot_leaves_the_same_files(node: Machine) -> None:
    setting_up(node)
    before = all_files(node)
    assert setting_up(node)[0] == 0
    assert all_files(node) == before


def test_a_newer_tarball_takes_the_place_of_the_one_before(
    node: Machine, cloud: Cloud
) -> None:
    cloud.put("config-grid.tar.gz", tarball({**TREE, "config.d/50-mine.config": "X"}))
    setting_up(node)
    assert node.read(f"{CONFIG}/50-mine.config") == "X"
    cloud.put("config-grid.tar.gz", tarball(FLAT))
    assert setting_up(node)[0] == 0
    left = {path.name for path in node.root.rglob("*") if path.is_file()}
    assert not {"50-mine.config", "grid.alice@pool.test", "POOL"} & left


def test_a_reboot_goes_on_with_what_is_there_when_the_tarball_is_gone(
    node: Machine, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting_up(node)
    cloud.client("s3").delete_object(Bucket=BUCKET, Key="config-grid.tar.gz")
    code, said = at_once(node, monkeypatch)
    assert (code, is_ready(node)) == (0, True)
    assert "as set up at an earlier boot" in said


def test_what_was_made_of_a_node_does_not_go_on_with_that_nodes_secrets(
    node: Machine, cloud: Cloud, behaviour: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting_up(node)
    cloud.client("s3").delete_object(Bucket=BUCKET, Key="config-grid.tar.gz")
    become(behaviour, cloud.instance(f"grid_{UUID[::-1]}"))
    code, said = at_once(node, monkeypatch)
    assert (code, is_ready(node)) == (1, False)
    assert f"there is no s3://{BUCKET}/config-grid.tar.gz" in said
    left = {path.name for path in node.root.rglob("*") if path.is_file()}
    assert not {"grid.alice@pool.test", "POOL", "00ec2-dynamic.config"} & left


def at_once(node: Machine, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Set up without patience, in a process of its own as always."""
    program = (
        f"import sys; sys.path.insert(0, {str(NODE)!r});"
        "import contract_annex_ec2 as c;"
        "c.LONG = c.SHORT = dict.fromkeys(c.LONG, 0.0); sys.exit(c.main())"
    )
    done = node.run("python3", "-Bs", "-c", program)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (UUID, "not ANNEX_UUID"),
        ("", "not ANNEX_UUID"),
        (f"_{UUID}", "not ANNEX_UUID"),
        (f"a/b_{UUID}", "not ANNEX_UUID"),
    ],
)
def test_a_token_that_is_not_the_clients_is_refused(
    node: Machine, cloud: Cloud, behaviour: Behaviour, token: str, said: str
) -> None:
    become(behaviour, cloud.instance(token))
    code, text = setting_up(node)
    assert (code, is_ready(node)) == (1, False)
    assert said in text
    assert node.read("/run/annexkit/failed").startswith("token ")


@pytest.mark.parametrize(
    ("token", "name"),
    [(f"grid_{UUID}", "grid"), (f"my_annex_{UUID}", "my_annex"), ("_x_y", "_x")],
)
def test_the_name_ends_at_the_tokens_last_underscore(token: str, name: str) -> None:
    assert contract.annex_name(token) == name


def test_a_name_with_underscores_is_found(
    node: Machine, cloud: Cloud, behaviour: Behaviour
) -> None:
    cloud.put("config-my_annex.tar.gz", tarball(TREE))
    become(behaviour, cloud.instance(f"my_annex_{UUID}"))
    assert setting_up(node)[0] == 0
    assert is_ready(node)


def test_the_bucket_is_found_in_an_attached_policy_and_among_others(
    node: Machine, cloud: Cloud, behaviour: Behaviour
) -> None:
    cloud.reset()
    other = f"arn:aws:s3:::{BUCKET}-other/config-*.tar.gz"
    cloud.put("something", b"else", f"{BUCKET}-other")
    cloud.role("*", "arn:aws:s3:::data/*", attached=(other, ARN))
    cloud.put("config-grid.tar.gz", tarball(TREE))
    become(behaviour, cloud.instance(f"grid_{UUID}"))
    assert setting_up(node)[0] == 0
    assert is_ready(node)


def test_a_role_that_names_no_bucket_is_said(node: Machine, cloud: Cloud) -> None:
    cloud.client("iam").delete_role_policy(RoleName=ROLE, PolicyName="own-0")
    code, said = setting_up(node)
    assert (code, is_ready(node)) == (1, False)
    assert f"no policy of role {ROLE} allows to read a bucket's config-*.tar.gz" in said


@pytest.mark.parametrize(
    "statement",
    [
        {"Effect": "Deny", "Resource": ARN},
        {"Effect": "Allow", "Resource": f"arn:aws:s3:::{BUCKET}/*"},
        {"Effect": "Allow", "Resource": f"arn:aws:s3:::{BUCKET}/config-a.tar.gz"},
        {"Effect": "Allow", "Resource": "arn:aws:s3:::../config-*.tar.gz"},
        {"Effect": "Allow"},
        "Allow",
    ],
)
def test_what_is_no_permission_to_read_tarballs_names_no_bucket(
    statement: object,
) -> None:
    assert contract.buckets([{"Statement": [statement]}, {}]) == []


def test_a_hostile_tarball_writes_nothing(node: Machine, cloud: Cloud) -> None:
    files = {**FLAT, "../../../../etc/cron.d/x": "boom"}
    cloud.put("config-grid.tar.gz", tarball(files))
    code, said = setting_up(node)
    assert (code, is_ready(node)) == (1, False)
    assert "leads out of /etc/condor" in said
    assert not (node.root / "etc/condor/config.d/password_file.pl").exists()
    assert not (node.root / "etc/condor/config.d/00ec2-dynamic.config").exists()


def test_what_failed_is_tried_again_while_it_may_pass_and_said_meanwhile(
    node: Machine, cloud: Cloud
) -> None:
    """The role's policy comes late; so does the tarball of a slow client."""
    cloud.client("s3").delete_object(Bucket=BUCKET, Key="config-grid.tar.gz")
    process = subprocess.Popen(
        ["python3", "-Bs", str(SCRIPT)],
        env=node.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    failed = node.root / "run/annexkit/failed"
    wait_for(failed.exists, what="the reason", timeout=20, poll=0.02)
    assert failed.read_text().startswith("missing there is no s3://")
    assert not is_ready(node)
    cloud.put("config-grid.tar.gz", tarball(TREE))
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert is_ready(node)
    assert not failed.exists()


def test_a_public_address_is_forwarded_and_without_one_the_collector_is_asked() -> None:
    public, private = (htcondor.upstream_config(ip) for ip in ("192.0.2.7", ""))
    assert "TCP_FORWARDING_HOST = 192.0.2.7" in public.splitlines()
    assert "CCB_ADDRESS" not in public
    assert "CCB_ADDRESS = $(COLLECTOR_HOST)" in private.splitlines()
    assert "TCP_FORWARDING_HOST" not in private


def test_a_public_address_of_the_node_gets_into_its_configuration(
    node: Machine, behaviour: Behaviour
) -> None:
    behaviour.values["meta-data/public-ipv4"] = b"192.0.2.7"
    setting_up(node)
    text = node.read(f"{CONFIG}/50-annex.config")
    assert "TCP_FORWARDING_HOST = 192.0.2.7" in text.splitlines()
    assert "DEFAULT_MASTER_SHUTDOWN_SCRIPT = /etc/condor/master_shutdown" in text

"""The fresh boot: two new instances of an AMI, checked before anyone relies on it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from annexkit import instances, journal, network, ssh, tags, userdata
from annexkit.aws import AwsError
from annexkit.bake.image import Image
from annexkit.errors import (
    AnnexkitError,
    Exit,
    Finding,
    FindingsError,
    Level,
)
from annexkit.flows.bake_plan import owner
from annexkit.flows.site import Site
from annexkit.instances import Instance
from annexkit.registry import Build
from annexkit.verify import checks, hostkeys
from annexkit.waiting import wait_for

COUNT = 2  # two, because what must differ between instances can only be seen on two
GROUP_TIMEOUT = 180.0


class ProofError(FindingsError):
    """A fresh instance of the AMI is not what was baked; nobody typed it wrong."""

    exit_code = Exit.FAILED


@dataclass(frozen=True)
class Proof:
    """What the fresh boot showed. ``boot_seconds``: from launch to SSH login."""

    at: datetime
    boot_seconds: float
    reports: tuple[checks.NodeReport, ...]


@dataclass(frozen=True)
class Subject:
    """What is proved: one AMI of one build."""

    image: Image
    build_id: str
    build: Build
    region: str
    ami: str

    def tags(self, expires: float) -> dict[str, str]:
        """Return the tags of what the proof makes."""
        return {
            "Name": f"annexkit prove {self.image.name}",
            tags.BUILD: self.build_id,
            tags.IMAGE: self.image.name,
            tags.OWNER: owner(),
            tags.EXPIRES: str(int(expires)),
        }


def prove(site: Site, subject: Subject) -> Proof:
    """Boot two instances of the AMI, run every check on both, and end them.

    :raises ProofError: naming each check that failed.
    :raises AnnexkitError: an instance did not come up, or could not be reached.
    """
    ami = subject.ami
    site.console.step(f"fresh boot of {ami}: {COUNT} instances in {subject.region}")
    key = ssh.new_key()
    began = site.clock.monotonic()
    with _instances(site, subject, key) as nodes:
        reports, boots = [], []
        for node in nodes:
            with _login(site, subject, node, key) as connection:
                boots.append(site.clock.monotonic() - began)
                site.console.detail(f"{node.id}: logged in after {boots[-1]:.1f} s")
                reports.append(_check(site, subject, node, connection))
    found = [f for report in reports for f in report.findings]
    found += checks.compare_uniqueness(*reports)
    if found:
        raise ProofError(found)
    for _, name, result, detail in reports[0].rows():
        site.console.detail(f"{result:>6}  {name}: {detail}")
    passed = sum(len(report.checks) for report in reports)
    site.console.step(f"fresh boot of {ami}: {passed} checks passed")
    return Proof(datetime.now(UTC).replace(microsecond=0), min(boots), tuple(reports))


def renew(site: Site, region: str, parts: Sequence[str]) -> None:
    """Give an AMI and its snapshot time until the proof is over.

    A candidate that waited for its proof may be past its expiry, and would be reaped
    under the instances that prove it.
    """
    settings = site.settings.prove
    until = site.clock.time() + settings.boot_timeout + settings.lifetime
    site.cloud.call(
        region,
        "create_tags",
        Resources=[part for part in parts if part],
        Tags=instances.as_tags({tags.EXPIRES: str(int(until))}),
    )


def kept(ami: str, region: str) -> Finding:
    """Say what becomes of an AMI that failed its proof."""
    return Finding(
        Level.INFO,
        f"{ami} failed its fresh boot and stays for a look until its expiry",
        region,
        "start it by hand, or let 'invoke reap' take it after that",
    )


@contextmanager
def _instances(site: Site, subject: Subject, key: ssh.Key) -> Iterator[list[Instance]]:
    """Make a security group and instances, and take both away again."""
    settings = site.settings
    expires = site.clock.time() + settings.prove.lifetime
    attempt = f"prove-{secrets.token_hex(4)}"
    with ExitStack() as stack:
        group = _group(site, subject, attempt, expires, stack)
        launch = instances.Launch(
            region=subject.region,
            ami=subject.ami,
            instance_type=settings.prove.instance_type
            or subject.image.instance_type[
                subject.image.architecture(subject.build.arch)
            ],
            count=COUNT,
            token=journal.token(subject.build_id, subject.region, attempt),
            user_data=_user_data(site, subject, key, expires),
            tags=subject.tags(expires),
            security_group=group,
            subnet_id=settings.bake.subnet_id,
            public_ip=settings.ssh.interface == "public_ip",
        )
        entry = _entry(site, subject, attempt, expires, launch.token)
        with _journalled(site, entry) as made:
            ids = _launch(site, launch, made)
            yield instances.wait_running(
                site.cloud,
                subject.region,
                ids,
                interface=settings.ssh.interface,
                timeout=settings.prove.boot_timeout,
                poll=settings.poll,
                clock=site.clock,
            )


def _launch(
    site: Site, launch: instances.Launch, made: Callable[[Callable[[], None]], None]
) -> list[str]:
    """Launch, and leave the undoing, unless EC2 said that nothing was launched."""
    ids: list[str] = []
    end = partial(
        instances.end_launch,
        site.cloud,
        launch.region,
        ids,
        launch.token,
        timeout=GROUP_TIMEOUT,
        poll=site.settings.poll,
        clock=site.clock,
    )
    try:
        ids += instances.run(site.cloud, launch)
    except AwsError as error:
        if not error.refused:
            made(end)
        raise
    except BaseException:
        made(end)
        raise
    made(end)
    return ids


def _group(
    site: Site, subject: Subject, attempt: str, expires: float, stack: ExitStack
) -> str:
    region = subject.region
    sources = network.ssh_sources(site.settings.bake.ssh_cidrs)
    vpc = network.vpc_of(site.cloud, region, site.settings.bake.subnet_id)
    entry = _entry(site, subject, f"{attempt}-group", expires)
    made = stack.enter_context(_journalled(site, entry))
    group = network.create_group(
        site.cloud,
        region,
        name=f"{site.settings.bake.name_prefix}-{subject.build_id}-{attempt}",
        vpc=vpc,
        tags=subject.tags(expires),
    )
    made(
        lambda: network.delete_group(
            site.cloud,
            region,
            group,
            timeout=GROUP_TIMEOUT,
            poll=site.settings.poll,
            clock=site.clock,
        )
    )
    network.allow_ssh(
        site.cloud, region, group, sources, poll=site.settings.poll, clock=site.clock
    )
    return group


@contextmanager
def _journalled(
    site: Site, entry: journal.Entry
) -> Iterator[Callable[[Callable[[], None]], None]]:
    """Write the entry; give a place to leave the undoing; undo, then strike it.

    The entry stays open when undoing failed, or when it ended before anybody could say
    what to undo, so that ``invoke reap`` takes over; what went wrong before is then
    still the error to show.
    """
    undoing: list[Callable[[], None]] = []
    unknown = False
    site.journal.write(entry)
    try:
        yield undoing.append
    except BaseException as error:
        refused = isinstance(error, AwsError) and error.refused
        unknown = not undoing and not refused
        raise
    finally:
        try:
            for undo in reversed(undoing):
                undo()
            if not unknown:
                site.journal.close(entry.id)
        except AnnexkitError as error:
            site.console.error(error)
            site.console.detail("what is left of the fresh boot: invoke reap")


def _entry(
    site: Site, subject: Subject, name: str, expires: float, token: str = ""
) -> journal.Entry:
    """Describe what is about to be made; *name* is attempt and kind."""
    return journal.Entry.model_validate(
        {
            "id": f"{subject.build_id}-{name}",
            "kind": "instances" if token else "security-group",
            "account": site.cloud.account,
            "endpoint": site.cloud.endpoint,
            "region": subject.region,
            "image": subject.image.name,
            "build": subject.build_id,
            "owner": journal.this_process(),
            "created": site.clock.time(),
            "deadline": expires,
            "token": token,
            "registry": str(site.registry.path),
            "tags": subject.tags(expires),
        }
    )


def _user_data(site: Site, subject: Subject, key: ssh.Key, expires: float) -> str:
    annex = {
        "annex": "prove",
        # What HTCondor's configuration can quote; a directory's names hold more.
        "owner": re.sub(r"[^A-Za-z0-9_.@-]", "-", owner())[:64],
        "mode": "one-node",
        "lease_expires": int(expires),
        "idle_seconds": int(site.settings.prove.lifetime),
    }
    return userdata.render(
        site.root / "cloud-init" / "annexkit.yaml",
        {
            "authorized_keys": [key.public_line],
            "annex": userdata.annex_json(annex),
            "seconds": int(site.settings.prove.lifetime),
        },
    )


def _login(
    site: Site, subject: Subject, node: Instance, key: ssh.Key
) -> ssh.Connection:
    timeout = site.settings.prove.boot_timeout

    def printed() -> list[hostkeys.HostKey]:
        text = instances.console_text(site.cloud, subject.region, node.id)
        return hostkeys.parse_console(text)

    keys = wait_for(
        printed,
        what=f"host keys on the console of {node.id}",
        timeout=timeout,
        poll=site.settings.poll,
        clock=site.clock,
        mend=f"read it: aws ec2 get-console-output --latest --instance-id {node.id}",
    )
    return ssh.connect(
        node.address(site.settings.ssh.interface),
        user=subject.image.ssh_user,
        key=key,
        host_keys=keys,
        name=node.id,
        timeout=site.settings.ssh.timeout,
        still_there=lambda: any(
            found.state not in instances.ENDED
            for found in instances.find(site.cloud, subject.region, {}, [node.id])
        ),
        clock=site.clock,
    )


def _check(
    site: Site, subject: Subject, node: Instance, connection: ssh.Connection
) -> checks.NodeReport:
    provision = site.root / "provision"
    expected = checks.Expected(
        build=subject.build_id,
        digest=subject.build.digest,
        image=subject.image.name,
        contract="annexkit",
        contracts=tuple(subject.build.contracts),
        family=subject.image.family,
        packages=subject.image.packages,
        htcondor=subject.build.htcondor,
        files=(provision / "files.tsv").read_text(encoding="utf-8"),
        units=(provision / "units.tsv").read_text(encoding="utf-8"),
        hygiene=(provision / "hygiene.tsv").read_text(encoding="utf-8"),
        now=datetime.now(UTC).timestamp(),
        job_user=subject.image.ssh_user,
    )
    return checks.run_checks(connection, node.id, expected)

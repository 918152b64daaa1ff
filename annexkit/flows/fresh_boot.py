"""The machinery of every fresh boot: new instances of an AMI, and all of it gone after.

Group and instances are journalled before they are made, end by themselves, and are
taken away whatever happens in between.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from annexkit import instances, journal, network, ssh, tags, userdata
from annexkit.aws import AwsError
from annexkit.bake.image import Image
from annexkit.errors import AnnexkitError, Exit, FindingsError
from annexkit.flows.bake_plan import owner
from annexkit.flows.site import Site
from annexkit.instances import Instance
from annexkit.registry import Build
from annexkit.verify import checks, hostkeys
from annexkit.waiting import Deadline, wait_for

GROUP_TIMEOUT = 180.0


class ProofError(FindingsError):
    """A fresh instance of the AMI is not what was baked; nobody typed it wrong."""

    exit_code = Exit.FAILED


class SilentError(Deadline):
    """An instance runs, as EC2 tells it, and its console shows no host key."""


@dataclass(frozen=True)
class Subject:
    """What is booted: one AMI of one build."""

    image: Image
    build_id: str
    build: Build
    region: str
    ami: str


@dataclass(frozen=True)
class Boot:
    """How it is booted: one RunInstances, each node a pool of its own.

    :param purpose: one word, for names: ``prove``.
    :param idle: seconds without a job after which a node ends by itself.
    :param lifetime: seconds after which it ends whatever happens.
    :param subnet_id: empty for the default VPC's.
    """

    purpose: str
    count: int
    instance_type: str
    idle: float
    lifetime: float
    subnet_id: str = ""


@dataclass(frozen=True)
class _Attempt:
    """One boot of a subject: its name, and when all that it makes expires."""

    subject: Subject
    boot: Boot
    name: str
    expires: float

    @property
    def tags(self) -> dict[str, str]:
        """The tags of what it makes."""
        subject = self.subject
        return {
            "Name": f"annexkit {self.boot.purpose} {subject.image.name}",
            tags.BUILD: subject.build_id,
            tags.IMAGE: subject.image.name,
            tags.OWNER: owner(),
            tags.EXPIRES: str(int(self.expires)),
        }

    def entry(self, site: Site, more: str = "", token: str = "") -> journal.Entry:
        """Describe what is about to be made; *more* is its kind, in its name."""
        return journal.Entry.model_validate(
            {
                "id": f"{self.subject.build_id}-{self.name}{more}",
                "kind": "instances" if token else "security-group",
                "account": site.cloud.account,
                "endpoint": site.cloud.endpoint,
                "region": self.subject.region,
                "image": self.subject.image.name,
                "build": self.subject.build_id,
                "owner": journal.this_process(),
                "created": site.clock.time(),
                "deadline": self.expires,
                "token": token,
                "registry": str(site.registry.path),
                "tags": self.tags,
            }
        )


@contextmanager
def booted(
    site: Site, subject: Subject, boot: Boot, key: ssh.Key
) -> Iterator[list[Instance]]:
    """Make a security group and instances that run, and take both away again.

    :param key: who may log in.
    :raises AwsError: EC2 refused.
    :raises AnnexkitError: an instance did not come up.
    """
    settings = site.settings
    expires = site.clock.time() + boot.lifetime
    name = f"{boot.purpose}-{secrets.token_hex(4)}"
    attempt = _Attempt(subject, boot, name, expires)
    with ExitStack() as stack:
        launch = instances.Launch(
            region=subject.region,
            ami=subject.ami,
            instance_type=boot.instance_type,
            count=boot.count,
            token=journal.token(subject.build_id, subject.region, name),
            user_data=user_data(site, boot, key, expires),
            tags=attempt.tags,
            security_group=_group(site, attempt, stack),
            subnet_id=boot.subnet_id,
            public_ip=settings.ssh.interface == "public_ip",
        )
        entry = attempt.entry(site, token=launch.token)
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


def login(site: Site, subject: Subject, node: Instance, key: ssh.Key) -> ssh.Connection:
    """Log in to a node with the host keys that its console shows.

    :raises SilentError: it shows none within ``prove.boot_timeout``.
    :raises SshError: it could not be reached, or is another host.
    """

    def printed() -> list[hostkeys.HostKey]:
        text = instances.console_text(site.cloud, subject.region, node.id)
        return hostkeys.parse_console(text)

    try:
        keys = wait_for(
            printed,
            what=f"host keys on the console of {node.id}",
            timeout=site.settings.prove.boot_timeout,
            poll=site.settings.poll,
            clock=site.clock,
        )
    except Deadline as error:
        raise SilentError(
            error.what,
            where=subject.region,
            mend="read it: aws ec2 get-console-output --latest --instance-id "
            f"{node.id} --region {subject.region}",
        ) from None
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


def check(
    site: Site, subject: Subject, node: Instance, connection: ssh.Connection
) -> checks.NodeReport:
    """Run all checks on a node; the last is a job in its own pool.

    :raises CheckError: they could not be run.
    """
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


def user_data(site: Site, boot: Boot, key: ssh.Key, expires: float) -> str:
    """Return what a node is told: who may log in, and when it ends.

    :param expires: the end of its lease, in epoch seconds.
    """
    annex = {
        "annex": boot.purpose,
        # What HTCondor's configuration can quote; a directory's names hold more.
        "owner": re.sub(r"[^A-Za-z0-9_.@-]", "-", owner())[:64],
        "mode": "one-node",
        "lease_expires": int(expires),
        "idle_seconds": int(boot.idle),
    }
    return userdata.render(
        site.root / "cloud-init" / "annexkit.yaml",
        {
            "authorized_keys": [key.public_line],
            "annex": userdata.annex_json(annex),
            "seconds": int(boot.lifetime),
        },
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


def _group(site: Site, attempt: _Attempt, stack: ExitStack) -> str:
    region, build_id = attempt.subject.region, attempt.subject.build_id
    sources = network.ssh_sources(site.settings.bake.ssh_cidrs)
    vpc = network.vpc_of(site.cloud, region, attempt.boot.subnet_id)
    made = stack.enter_context(_journalled(site, attempt.entry(site, "-group")))
    group = network.create_group(
        site.cloud,
        region,
        name=f"{site.settings.bake.name_prefix}-{build_id}-{attempt.name}",
        vpc=vpc,
        tags=attempt.tags,
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

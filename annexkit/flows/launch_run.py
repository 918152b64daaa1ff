"""One run of ``invoke launch``: what it makes, written down before it is made."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass, field

import annexkit
from annexkit import annexes, journal, ssh, tags
from annexkit.annexes import AnnexFolder, LaunchRecord, Record
from annexkit.aws import AwsError
from annexkit.errors import AnnexkitError
from annexkit.flows.launch_plan import Ready
from annexkit.flows.site import Site
from annexkit.launch import group, longlived, parameter
from annexkit.launch.launched import Launched
from annexkit.launch.longlived import Needs
from annexkit.launch.parameter import Parameter
from annexkit.launch.policies import NODE
from annexkit.launch.words import stamp
from annexkit.pool.credentials import Secret, new_secret
from annexkit.pool.target import Pool


class LaunchError(AnnexkitError):
    """A launch did not give what it should."""


@dataclass
class Run:
    """One launch as it goes on; times in epoch seconds.

    ``waves`` holds what each request for nodes came to: the canary's, and the rest's.
    ``credential`` is the nodes' secret until it lies in SSM.
    """

    site: Site
    ready: Ready
    id: str
    began: float
    lease_ends: float
    probation_ends: float
    key: ssh.Key
    entry: journal.Entry
    needs: Needs | None = None
    waves: list[Launched] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    token_expires: float = 0.0
    credential: Secret | None = None

    @property
    def annex(self) -> str:
        """The annex's name."""
        return self.ready.launch.annex_name

    @property
    def region(self) -> str:
        """Where it launches."""
        return self.ready.region

    @property
    def ids(self) -> list[str]:
        """The instances that EC2 named so far."""
        return [one for wave in self.waves for one in wave.ids]

    @property
    def folder(self) -> AnnexFolder:
        """The annex's folder in the state folder."""
        return annexes.folder(self.site.state, self.annex)

    @property
    def secret(self) -> Parameter:
        """Where the nodes' secret lies until they are verified."""
        return Parameter(self.annex, self.id, self.probation_ends)

    @property
    def tags(self) -> dict[str, str]:
        """The tags of what it launches: on probation first (law 5)."""
        return {
            "Name": f"annex {self.annex}",
            tags.ANNEX: self.annex,
            tags.LAUNCH: self.id,
            tags.EXPIRES: str(int(self.probation_ends)),
            tags.OWNER: self.ready.launch.owner,
            tags.IMAGE: self.ready.chosen.image.name,
            tags.FROM_BUILD: self.ready.chosen.build_id,
            tags.VERSION: annexkit.__version__,
        }


def begin(site: Site, ready: Ready) -> Run:
    """Write down that a launch begins; nothing is made in AWS yet.

    :raises PoolError, UsageError: no secret could be had; nothing is written, either.
    :raises FileError: the disk refused.
    :raises UsageError: the SSH key cannot be used.
    """
    identity = secrets.token_hex(6)
    now = site.clock.time()
    late = now - ready.plan.facts.now  # a person may have looked at the plan
    lease_ends = ready.plan.lease_ends + late
    secret = _secret(ready.pool, lease_ends - now)
    entry = _entry(site, ready, identity, ready.plan.probation_ends + late)
    site.journal.write(entry)
    if (
        ready.fresh
    ):  # an earlier annex of this name ended by itself, and its key with it
        annexes.folder(site.state, ready.launch.annex_name).remove()
    run = Run(
        site,
        ready,
        identity,
        began=now,
        lease_ends=lease_ends,
        probation_ends=ready.plan.probation_ends + late,
        key=ready.key.load(),
        entry=entry,
        credential=secret,
        token_expires=secret.expires or 0.0,
    )
    record(run)
    return run


def imagined(site: Site, ready: Ready) -> Run:
    """Return the run that would be, with the long-lived set that is there.

    Nothing is written down or made; a key that is not there yet lives in memory.
    """
    plan = ready.plan
    key = ssh.new_key() if not ready.key.path.exists() else ready.key.load()
    run = Run(
        site,
        ready,
        secrets.token_hex(6),
        began=plan.facts.now,
        lease_ends=plan.lease_ends,
        probation_ends=plan.probation_ends,
        key=key,
        entry=_entry(site, ready, "imagined", plan.probation_ends),
    )
    standing = group.look(site.cloud, ready.region, ready.wants.vpc)
    run.needs = Needs(standing.id if standing else "", NODE, "", "")
    return run


def provide(run: Run) -> None:
    """Make what the launch needs: the long-lived set, and its secret in SSM.

    :raises AnnexkitError: AWS refused.
    """
    site, ready = run.site, run.ready
    run.needs = longlived.ensure(
        site.cloud, ready.wants, poll=site.settings.poll, clock=site.clock
    )
    for line in run.needs.mended:
        site.console.detail(line)
    if run.credential is None:
        raise LaunchError("a run that is only imagined has no secret")
    parameter.put(site.cloud, run.region, run.secret, run.credential.text)
    run.credential = None  # nobody needs it here any more


def record(run: Run) -> None:
    """Keep in the annex's folder what is known by now."""
    site, ready = run.site, run.ready
    known = run.folder.read() or Record(
        name=run.annex,
        account=site.cloud.account,
        endpoint=site.cloud.endpoint,
        region=run.region,
        owner=ready.launch.owner,
    )
    known.region = run.region
    others = [launch for launch in known.launches if launch.id != run.id]
    known.launches = [*others, _launch_record(run)]
    run.folder.write(known)


def strike(run: Run) -> None:
    """Take back the launch's secret, and strike its journal entry.

    A secret that AWS does not delete now is no reason to end good nodes: it carries its
    expiry, and ``invoke reap`` takes it then.
    """
    try:
        parameter.delete(run.site.cloud, run.region, run.secret.name)
    except AwsError as error:
        run.site.console.error(error)
        run.site.console.detail(
            f"{run.secret.name} still holds the nodes' secret; after "
            f"{stamp(run.probation_ends)} this deletes it: invoke reap"
        )
    run.site.journal.close(run.entry.id)


def _secret(pool: Pool, lease: float) -> Secret:
    """Return a token that outlives a lease of so many seconds, or the pool password."""
    return new_secret(pool, round(lease + pool.token_grace))


def _launch_record(run: Run) -> LaunchRecord:
    ready = run.ready
    return LaunchRecord(
        id=run.id,
        created=run.began,
        image=ready.chosen.image.name,
        build=ready.chosen.build_id,
        ami=ready.chosen.ami,
        ssh_user=ready.chosen.image.ssh_user,
        wanted=ready.launch.count,
        expires=run.lease_ends,
        idle=ready.launch.idle,
        method=ready.pool.method,
        price={
            target.priced_as: target.price
            for target in ready.plan.targets
            if target.price is not None
        },
        failures=dict(run.failures),
        ids=run.ids,
        token_expires=run.token_expires,
    )


def _entry(site: Site, ready: Ready, identity: str, deadline: float) -> journal.Entry:
    return journal.Entry(
        id=f"launch-{identity}",
        kind="launch",
        account=site.cloud.account,
        endpoint=site.cloud.endpoint,
        region=ready.region,
        image=ready.chosen.image.name,
        build="",
        owner=journal.this_process(),
        created=site.clock.time(),
        deadline=deadline,
        launch=identity,
        annex=ready.launch.annex_name,
        tags={},
    )

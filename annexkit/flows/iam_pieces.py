"""What ``invoke iam`` makes: each thing, how it stands, and what would be called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import unified_diff
from functools import partial

from annexkit.errors import Finding, UsageError, raise_on_errors
from annexkit.flows.site import Site
from annexkit.launch import policies, roles
from annexkit.launch.group import SET
from annexkit.launch.policies import Role
from annexkit.rights import documents
from annexkit.rights.services import GITHUB
from annexkit.rights.words import POLICIES, Document, Place, Who
from annexkit.setup import managed, provider


@dataclass(frozen=True)
class Piece:
    """One thing in IAM: how it stands, what would be called, and what makes it so.

    ``difference`` are the lines of a unified diff, from how it stands to how it is
    wanted; empty for what has no document.
    """

    kind: str
    name: str
    there: bool
    calls: tuple[str, ...]
    make: Callable[[], object]
    difference: str = ""

    @property
    def state(self) -> str:
        """Say how it stands, in a word or two."""
        if not self.there:
            return "missing"
        return "differs" if self.calls else "is there"


@dataclass(frozen=True)
class Wanted:
    """What is to stand in the account; ``nightly`` is None when nobody asked for it.

    ``policies``: whose managed policies; ``node``: the roles of annexes.
    ``home`` is any region of the partition: IAM is the same in all.
    """

    place: Place
    home: str
    policies: tuple[Who, ...] = ()
    node: bool = False
    nightly: Role | None = None


def survey(site: Site, wanted: Wanted) -> list[Piece]:
    """Look at everything that is wanted; changes nothing.

    :raises FindingsError: all that cannot be used at once: names that are taken by what
        is not annexkit's, a policy that is too large.
    :raises AwsError: IAM refused.
    """
    looks: list[Callable[[], Piece]] = []
    looks += [partial(_policy, site, wanted, who) for who in wanted.policies]
    if wanted.node:
        for role in (
            policies.node_role(site.cloud, wanted.home),
            policies.scheduler_role(site.cloud, wanted.home),
        ):
            looks.append(partial(_role, site, wanted, role))
    if wanted.nightly:
        looks.append(partial(_provider, site, wanted))
        looks.append(partial(_role, site, wanted, wanted.nightly))
    pieces = []
    wrong: list[Finding] = []
    for look in looks:
        try:
            pieces.append(look())
        except (managed.PolicyError, roles.RoleError, UsageError) as error:
            wrong += error.findings
    raise_on_errors(wrong)
    return pieces


def _policy(site: Site, wanted: Wanted, who: Who) -> Piece:
    document = documents.policy(who, wanted.place)
    policy = managed.managed(POLICIES[who], document, wanted.place, SET)
    standing = managed.look(site.cloud, wanted.home, policy)
    return Piece(
        "policy",
        policy.name,
        standing is not None,
        tuple(managed.planned(policy, standing)),
        partial(
            managed.ensure,
            site.cloud,
            wanted.home,
            policy,
            poll=site.settings.poll,
            clock=site.clock,
        ),
        _difference(policy.name, standing.policy if standing else None, document),
    )


def _role(site: Site, wanted: Wanted, role: Role) -> Piece:
    size = documents.size(role.policy)
    if size > documents.MOST_OF_INLINE:
        raise roles.RoleError(
            f"the policy has {size} characters, IAM takes {documents.MOST_OF_INLINE}",
            where=role.name,
            mend="name fewer regions, or all: invoke iam --all-regions",
        )
    standing = roles.look(site.cloud, wanted.home, role)
    trust = standing.trust if standing else None
    policy = standing.policy if standing else None
    return Piece(
        "role and profile" if role.profile else "role",
        role.name,
        standing is not None,
        tuple(roles.planned(role, standing)),
        partial(
            roles.ensure,
            site.cloud,
            wanted.home,
            role,
            poll=site.settings.poll,
            clock=site.clock,
        ),
        _difference(f"{role.name}, who may take it", trust, role.trust)
        + _difference(role.name, policy, role.policy)
        + _longer(role, standing),
    )


def _longer(role: Role, standing: roles.Standing | None) -> str:
    if standing is None or standing.session >= role.session:
        return ""
    return f"-sessions of {standing.session} s\n+sessions of {role.session} s\n"


def _provider(site: Site, wanted: Wanted) -> Piece:
    arn = documents.provider_arn(wanted.place)
    found = provider.look(site.cloud, wanted.home, arn)
    if found and not found.usable:
        raise UsageError(
            "GitHub's identity provider takes no tokens for "
            f"{documents.AUDIENCE}, and annexkit changes none that may be others'",
            where=arn,
            mend="aws iam add-client-id-to-open-id-connect-provider --client-id "
            f"{documents.AUDIENCE} --open-id-connect-provider-arn {arn}",
        )
    return Piece(
        "identity provider",
        GITHUB,
        found is not None,
        () if found else ("CreateOpenIDConnectProvider",),
        partial(provider.ensure, site.cloud, wanted.home, arn, SET),
    )


def _difference(name: str, standing: Document | None, wanted: Document) -> str:
    """Return what changes as a unified diff; nothing when both say the same."""
    if standing is not None and documents.normal(standing) == documents.normal(wanted):
        return ""
    old = documents.written(standing) if standing is not None else ""
    lines = unified_diff(
        old.splitlines(keepends=True),
        documents.written(wanted).splitlines(keepends=True),
        f"{name} in the account" if old else "/dev/null",
        f"{name} as wanted",
    )
    return "".join(lines)

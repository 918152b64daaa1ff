"""``invoke iam``: the policies and roles of an account, shown, compared, and made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import cast

from annexkit.aws import AwsError
from annexkit.errors import Exit, Finding, Level, UsageError, nearest
from annexkit.flows.asking import confirmed
from annexkit.flows.iam_pieces import Piece, Wanted, survey
from annexkit.flows.site import Site
from annexkit.launch import policies
from annexkit.rights import documents
from annexkit.rights.words import COMMANDS, POLICIES, Document, Place, Who
from annexkit.settings import split_flag

MADE = (*POLICIES, "nightly", "node")
COLUMNS = ("state", "kind", "name", "calls")
# No * or ?, although both are compared as they stand; and what GitHub takes as names.
# Repositories made, renamed or moved since July 2026 have their own and their owner's
# number in the subject: OWNER@1/NAME@2 (GitHub documentation, OpenID Connect reference,
# Immutable subject claims).
OWNER, NAME = r"[A-Za-z0-9][A-Za-z0-9-]*", r"[A-Za-z0-9._-]+"
REPOSITORY = rf"{OWNER}/{NAME}|{OWNER}@[0-9]+/{NAME}@[0-9]+"
DENIED = "act as an administrator: docs/iam-administrator.json lists what that takes"
BRANCH = r"[A-Za-z0-9._/+#@-]+"


@dataclass(frozen=True)
class IamRequest:
    """What was asked for; what is empty comes from the settings.

    ``repository`` and ``branch``: whose jobs on GitHub may take the nightly role.
    """

    roles: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    all_regions: bool = False
    repository: str = ""
    branch: str = ""
    yes: bool = False
    dry_run: bool = False


def show(site: Site, request: IamRequest) -> Exit:
    """Print documents as they are, for any account; needs no credentials.

    One document alone as ``docs/`` has it, several by their names.

    :raises UsageError: a role or region is unknown.
    """
    named = _named(request, ("person",))
    regions = _regions(site, request, ()) if request.regions else ()
    home = (regions or site.settings.bake.regions)[0]
    partition = site.cloud.session.get_partition_for_region(home)
    prefix = site.settings.bake.name_prefix
    place = Place(partition=partition, regions=regions, prefix=prefix)
    found: dict[str, Document] = {
        who: documents.policy(cast(Who, who), place) for who in named
    }
    if "nightly" in named and (request.repository or site.settings.iam.repository):
        found["nightly, who may take it"] = documents.github_trust(
            *_subject(site, request), place
        )
    alone = found[named[0]] if len(found) == 1 else found
    site.console.result(found, documents.written(alone).rstrip())
    return Exit.DONE


def set_up(site: Site, request: IamRequest) -> Exit:
    """Compare the account with what is wanted, and make it so when that is agreed to.

    :returns: DONE, or PARTLY when IAM refused a part of it.
    :raises UsageError: a flag or setting is not usable.
    :raises FindingsError: a name is taken by what is not annexkit's.
    :raises AwsError: IAM refused to show what is there.
    """
    wanted = _wanted(site, request)
    try:
        pieces = survey(site, wanted)
    except AwsError as error:
        raise _explained(error) from None
    todo = [piece for piece in pieces if piece.calls]
    if not site.console.as_json:
        _show_plan(site, pieces)
    agreed = bool(todo) and not request.dry_run and _agreed(todo, request)
    made, failed = _make(site, todo) if agreed else ([], {})
    _report(site, wanted.place, pieces, made, failed)
    if failed:
        return Exit.PARTLY if made else Exit.FAILED
    return Exit.DONE


def _wanted(site: Site, request: IamRequest) -> Wanted:
    named = _named(request, MADE)
    repository = request.repository or site.settings.iam.repository
    if not repository and not request.roles:
        named = tuple(who for who in named if who != "nightly")
        site.console.detail("without --repository there is no role of a nightly job")
    for who in named:
        if who not in MADE:
            raise UsageError(
                f"the policy of '{who}' is printed, not made in an account",
                where="--role",
                mend=f"invoke iam --show --role {who}",
            )
    subject = _subject(site, request) if "nightly" in named else ("", "")
    own = (*site.settings.bake.regions, *site.settings.reap.regions)
    regions = () if request.all_regions else _regions(site, request, own)
    site.check_account()
    home = (regions or site.settings.bake.regions)[0]
    prefix = site.settings.bake.name_prefix
    place = policies.place_of(site.cloud, home, regions, prefix)
    return Wanted(
        place,
        home,
        policies=tuple(who for who in POLICIES if who in named),
        node="node" in named,
        nightly=policies.nightly_role(place, *subject) if any(subject) else None,
    )


def _named(request: IamRequest, default: tuple[str, ...]) -> tuple[str, ...]:
    if not request.roles:
        return default
    named = split_flag(",".join(request.roles), default, where="--role")
    for who in named:
        if who not in COMMANDS:
            raise UsageError(
                f"there is no role '{who}'",
                where="--role",
                mend=nearest(who, COMMANDS) or f"one of: {', '.join(COMMANDS)}",
            )
    return named


def _regions(
    site: Site, request: IamRequest, default: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the regions that changes are limited to, each once.

    :raises UsageError: one is unknown, or of another partition than the first.
    """
    given = ",".join(request.regions) if request.regions else None
    regions = tuple(dict.fromkeys(split_flag(given, default)))
    site.cloud.check_regions(regions)
    partition_of = site.cloud.session.get_partition_for_region
    for region in regions:
        if partition_of(region) != partition_of(regions[0]):
            raise UsageError(
                f"{region} and {regions[0]} are in different partitions of AWS",
                where="--region",
                mend="each partition has accounts of its own: name regions of one",
            )
    return regions


def _subject(site: Site, request: IamRequest) -> tuple[str, str]:
    """Return the repository and branch whose jobs may take the nightly role.

    :raises UsageError: one is not said, or is no name.
    """
    settings = site.settings.iam
    repository = request.repository or settings.repository
    branch = request.branch or settings.branch
    for value, pattern, where, example in (
        (repository, REPOSITORY, "iam.repository", "--repository OWNER/NAME"),
        (branch, BRANCH, "iam.branch", "--branch main"),
    ):
        if not re.fullmatch(pattern, value):
            said = f"{value[:80]!r} is no name" if value else "is not set"
            raise UsageError(
                f"whose jobs may take the nightly role: {said}",
                where=where,
                mend=f"invoke iam --role nightly {example}, or set it in invoke.yaml",
            )
    return repository, branch


def _show_plan(site: Site, pieces: list[Piece]) -> None:
    rows = [(p.state, p.kind, p.name, ", ".join(p.calls) or "-") for p in pieces]
    site.console.table(COLUMNS, rows)
    for piece in pieces:
        if piece.there and piece.difference:
            for line in piece.difference.splitlines():
                site.console.detail(line)


def _agreed(todo: list[Piece], request: IamRequest) -> bool:
    count = sum(len(piece.calls) for piece in todo)
    return confirmed(
        f"Make these {count} calls?",
        yes=request.yes,
        what=f"{count} calls would change IAM",
        mend="invoke iam --yes, or look only: invoke iam --dry-run",
    )


def _make(site: Site, todo: list[Piece]) -> tuple[list[Piece], dict[str, AwsError]]:
    """Make each piece; one that IAM refuses is told and stops no other."""
    made = []
    failed = {}
    for piece in todo:
        try:
            piece.make()
            made.append(piece)
            site.console.step(f"{piece.kind} {piece.name}: {', '.join(piece.calls)}")
        except AwsError as error:
            failed[piece.name] = _explained(error)
    return made, failed


def _explained(error: AwsError) -> AwsError:
    """Return it with its mend: who runs this is no person that asks another."""
    if error.code == "AccessDenied":
        error.mend = DENIED
    return error


def _report(
    site: Site,
    place: Place,
    pieces: list[Piece],
    made: list[Piece],
    failed: dict[str, AwsError],
) -> None:
    console = site.console
    data = {
        "account": place.account,
        "partition": place.partition,
        "regions": list(place.regions),
        "found": [
            {
                "kind": piece.kind,
                "name": piece.name,
                "state": piece.state,
                "calls": list(piece.calls),
                "difference": piece.difference,
            }
            for piece in pieces
        ],
        "made": [piece.name for piece in made],
        "failed": {name: str(error) for name, error in failed.items()},
    }
    todo = sum(bool(piece.calls) for piece in pieces)
    said = f"{todo} things to make or change" if todo else "nothing to do"
    console.result(data, "" if made or failed else f"{said} in {place.account}")
    for error in failed.values():
        console.error(error)
    new = {piece.name for piece in made}
    for name in (name for name in POLICIES.values() if name in new):
        arn = place.arn(f"iam::{{account}}:policy/{name}")
        attach = "aws iam attach-group-policy --group-name GROUP --policy-arn "
        note = f"{name} works once it is attached"
        console.finding(Finding(Level.INFO, note, "IAM", f"{attach}{arn}"))

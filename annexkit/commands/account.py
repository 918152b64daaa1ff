"""Tasks that make an account ready: the 2016 guide's steps before the first bake.

Imports stand inside the tasks, so that ``invoke --list`` loads none of them.
"""

from __future__ import annotations

from invoke import Context, task

from annexkit.commands.shared import reported, site_of


@task(help={"json": "print as JSON"})
@reported
def regions(c: Context, json: bool = False) -> int:
    """Say which regions have every service that annexkit needs; what others lack."""
    from annexkit.flows.regions import show_regions

    return show_regions(site_of(c, json))


@task(
    help={
        "key-name": "the key pair's name in EC2 (launch.key_name, else annexkit)",
        "import": "a private key file of yours to use, instead of making one",
        "region": "where; several by repeating it or with commas (bake.regions)",
        "dry-run": "say what would be made",
        "json": "print the result as JSON",
    },
    iterable=["region"],
)
@reported
def keypair(
    c: Context,
    region: list[str],
    key_name: str | None = None,
    import_: str | None = None,
    dry_run: bool = False,
    json: bool = False,
) -> int:
    """Make an SSH key pair for launches, or import one: its file here, and in EC2."""
    from annexkit.flows.keypair import KeypairRequest, make_keypair

    request = KeypairRequest(key_name, import_, tuple(region), dry_run)
    return make_keypair(site_of(c, json), request)


@task(
    help={
        "role": "person, publish, setup, nightly or node (and scheduler); default: all",
        "show": "print documents for any account, and ask nothing of AWS",
        "region": "limit changes to these; bake.regions and reap.regions by default",
        "all-regions": "limit changes to no region",
        "repository": "whose jobs on GitHub are the nightly ones: OWNER/NAME, or "
        "OWNER@ID/NAME@ID as its tokens name it (docs/nightly-github.md)",
        "branch": "and of which branch of it",
        "yes": "do not ask",
        "dry-run": "show what differs only",
        "json": "print as JSON",
    },
    iterable=["role", "region"],
)
@reported
def iam(
    c: Context,
    role: list[str],
    region: list[str],
    show: bool = False,
    all_regions: bool = False,
    repository: str = "",
    branch: str = "",
    yes: bool = False,
    dry_run: bool = False,
    json: bool = False,
) -> int:
    """Make the least that persons, the nightly job and nodes need in IAM."""
    from annexkit.flows import iam as flow

    request = flow.IamRequest(
        tuple(role), tuple(region), all_regions, repository, branch, yes, dry_run
    )
    site = site_of(c, json)
    return flow.show(site, request) if show else flow.set_up(site, request)

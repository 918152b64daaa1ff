"""What a node of an annex should be, by its tags and the registry."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from annexkit import tags
from annexkit.bake.recipe import Image
from annexkit.flows import bake_plan
from annexkit.flows.site import Site
from annexkit.instances import Instance
from annexkit.registry import Build
from annexkit.verify.checks import Expected

JOB_USER = "nobody"


def expectation(
    site: Site, *, patience: float = 120.0
) -> Callable[[Instance], Expected]:
    """Return what says of a node of an annex what it should be.

    A build that this registry does not know is compared with nothing but its id.

    :param patience: seconds that all waiting on the node together may take.
    """
    builds = {
        (name, build_id): build
        for name, record in site.registry.read().images.items()
        for build_id, build in record.builds.items()
    }
    provision = site.root / "provision"
    tables = {
        name: (provision / f"{name}.tsv").read_text(encoding="utf-8")
        for name in ("files", "units", "hygiene")
    }
    recipe = cache(lambda name: bake_plan.read_image(site, name))

    def expected(node: Instance) -> Expected:
        name = node.tags.get(tags.IMAGE, "")
        build_id = node.tags.get(tags.FROM_BUILD, "")
        build = builds.get((name, build_id))
        return Expected.model_validate(
            {
                "mode": "pool",
                "build": build_id,
                "image": name,
                "contract": "annexkit",
                "lease_expires": tags.expiry(node.tags),
                "now": site.clock.time(),
                "patience": patience,
                **_of_build(build),
                **_of_image(recipe(name) if name else None),
                **tables,
            }
        )

    return expected


def _of_build(build: Build | None) -> dict[str, object]:
    if build is None:
        return {"digest": "", "htcondor": "", "contracts": ("annexkit",)}
    return {
        "digest": build.digest,
        "htcondor": build.htcondor,
        "contracts": tuple(build.contracts),
    }


def _of_image(image: Image | None) -> dict[str, object]:
    if image is None:
        return {"family": "debian", "job_user": JOB_USER}
    return {
        "family": image.family,
        "packages": image.packages,
        "job_user": image.ssh_user,
    }

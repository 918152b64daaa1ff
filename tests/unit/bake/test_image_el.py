"""What only recipes of family ``el`` have: repositories with priorities."""

from __future__ import annotations

from pathlib import Path

import pytest

from annexkit.bake.image import load_image
from tests.unit.bake.projects import findings, project
from tests.unit.bake.samples import IMAGES

__all__ = ["project"]


def test_osgs_repository_comes_before_epel_as_osg_wants_it() -> None:
    found = load_image(IMAGES, "alma9-osg").repositories
    assert found["osg"].priority < found["epel"].priority == 99


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "    priority        = 98",
            "    priority = 99",
            "priority        = 99: repository 'epel' has priority 99: HTCondor comes "
            "from 'osg' only if that has a lower one than 99",
        ),
        (
            "    priority        = 98",
            "    priority = 90",
            "priority = 90: 'repositories.osg.priority' should be greater than or "
            "equal to 91",
        ),
        (
            "    priority        = 98",
            "    prority = 98",
            "prority = 98: unknown key 'repositories.osg.prority' -- did you mean "
            "'priority'?",
        ),
        (
            '  suite  = "osg"',
            '  suite = "ogs"',
            'suite = "ogs": suite must name one of the recipe\'s repositories '
            "(epel, osg)",
        ),
        (
            '    key_fingerprint = "962A9BCDD330245F2703C88B74E5BE22D4E9B1FC"',
            "",
            "osg = {: 'repositories.osg' needs key_sha256 or key_fingerprint, one of",
        ),
        (
            "el9/release/$basearch",
            "el$releasever/release/$basearch",
            'url             = "https://repo.osg-htc.org/osg/25-main/el$releasever/release'
            "/$basearch\": 'repositories.osg.url' knows no variable but $basearch",
        ),
        (
            '  "25-packages",',
            "",
            "steps = [: repositories and packages need the steps 10-system, "
            "15-repositories, 20-htcondor, 25-packages in this order",
        ),
        (
            '  "fetch-crl",',
            '  "fetch-crl",\n  "fetch-crl",',
            "\"fetch-crl\",: 'fetch-crl' stands in packages twice",
        ),
        (
            '  series = "25"',
            '  series = "25"\n  component = "main"',
            "htcondor = {: 'htcondor' only source 'upstream' has component",
        ),
    ],
)
def test_what_is_wrong_with_a_recipe_of_family_el_is_said(
    project: Path, old: str, new: str, expected: str
) -> None:
    said = findings(project, old, new, "alma9-osg")
    assert len(said) == 1, said
    assert said[0].startswith(expected)

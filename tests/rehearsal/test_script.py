"""``make rehearse``, the README's first command: the whole path, by its own script."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from annexkit.process import run
from annexkit.rehearsal import control
from annexkit.sections import RehearsalSettings
from tests.rehearsal.conftest import bring_up

pytestmark = [pytest.mark.machines, pytest.mark.matrix]

ROOT = Path(__file__).parents[2]
LONGEST = 1200.0


def test_the_script_goes_the_whole_way_and_leaves_nothing(tmp_path: Path) -> None:
    settings = RehearsalSettings(dir=str(tmp_path / "own"))
    own = os.environ | {"INVOKE_ANNEXKIT_REHEARSAL_DIR": settings.dir}
    bring_up(ROOT, settings)
    try:
        said = run("scripts/rehearse", cwd=ROOT, env=own, timeout=LONGEST).stdout
    finally:
        control.down(settings, ROOT)
    receipt = said.partition("annex grid: what it came to")[2]
    assert re.search(r"^ t3\.small +on-demand +2 ", receipt, re.MULTILINE)
    assert "nothing to take" in receipt
    assert "no machines" in receipt

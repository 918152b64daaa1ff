"""A project whose recipes a test may spoil."""

from __future__ import annotations

from pathlib import Path

import pytest

from annexkit.bake.image import load_image
from annexkit.errors import FindingsError
from tests.unit.bake.samples import IMAGES, STEPS


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a recipe of each family and all steps."""
    images = tmp_path / "packer" / "images"
    images.mkdir(parents=True)
    for name in ("debian13.pkrvars.hcl", "alma9-osg.pkrvars.hcl"):
        (images / name).write_text((IMAGES / name).read_text())
    (tmp_path / "provision").mkdir()
    for step in STEPS:
        (tmp_path / "provision" / f"{step}.sh").touch()
    return tmp_path


def findings(project: Path, old: str, new: str, image: str = "debian13") -> list[str]:
    """Load a recipe with one text replaced; the findings as ``line: what -- mend``."""
    path = project / "packer" / "images" / f"{image}.pkrvars.hcl"
    text = path.read_text()
    assert text.count(old) == 1, "the text to replace is not there once"
    path.write_text(text.replace(old, new))
    with pytest.raises(FindingsError) as caught:
        load_image(path.parent, image)
    lines = path.read_text().splitlines()
    said = []
    for found in caught.value.findings:
        file, _, line = found.where.rpartition(":")
        if not line.isdigit():
            file, line = found.where, "0"
        assert file == str(path)
        at = lines[int(line) - 1].strip() if line != "0" else "-"
        said.append(f"{at}: {found.what} -- {found.mend}")
    return said

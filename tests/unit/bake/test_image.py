from __future__ import annotations

from pathlib import Path

import pytest

from annexkit.bake.image import list_images, load_image
from annexkit.errors import UsageError
from tests.unit.bake.projects import findings, project
from tests.unit.bake.samples import IMAGES, RECIPES, ROOT

__all__ = ["project"]

UPSTREAM = """\
  source = "upstream"
  url = "https://example.com/"
  key_url = "https://example.com/key"
  key_fingerprint = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
"""


@pytest.mark.parametrize("name", RECIPES)
def test_the_projects_recipes_load_with_the_projects_steps(name: str) -> None:
    image = load_image(IMAGES, name)
    assert image.name == name
    assert image.problems() == []
    assert set(image.base.name) == {"x86_64", "arm64"}


def test_the_recipes_take_htcondor_from_different_suites() -> None:
    kinds = {n: load_image(IMAGES, n).htcondor for n in RECIPES}
    assert (kinds["debian13"].source, kinds["debian13"].series) == ("distro", "23.9")
    newer = kinds["debian13-c25"]
    assert (newer.source, newer.suite, newer.series) == (
        "distro-unstable",
        "sid",
        "25.14",
    )


def test_images_are_listed_by_name(project: Path) -> None:
    images = project / "packer" / "images"
    (images / "alma9.pkrvars.hcl").touch()
    (images / "README.md").touch()
    assert list_images(images) == ["alma9", "alma9-osg", "debian13"]


def test_a_missing_folder_of_recipes_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="folder of image recipes"):
        list_images(tmp_path / "none")


@pytest.mark.parametrize("name", ["debian31", "../debian13", "", "debian13.pkrvars"])
def test_an_unknown_image_is_answered_with_those_there_are(
    project: Path, name: str
) -> None:
    with pytest.raises(UsageError, match="there is no image") as caught:
        load_image(project / "packer" / "images", name)
    assert "images here: alma9-osg, debian13" in caught.value.mend
    if name == "debian31":
        assert "did you mean 'debian13'?" in caught.value.mend


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            'ssh_user = "admin"',
            'ssh_user = "admin"\nroot_volum = 1',
            "root_volum = 1: unknown key 'root_volum' -- did you mean 'root_volume'?",
        ),
        (
            "  size       = 10",
            "  size = 10\n  sizes = 11",
            "sizes = 11: unknown key 'root_volume.sizes' -- did you mean 'size'?",
        ),
        (
            'contracts = ["annexkit", "annex-ec2"]',
            'contracts = ["annexkit", "annex-ec2"]\nzzz = 1',
            "zzz = 1: unknown key 'zzz' -- known here: base, contracts, description, "
            "enable_repositories, environment, family, helper_scripts, htcondor, "
            "instance_type, packages, repositories, root_volume, ssh_user, steps, tags",
        ),
        (
            "  size       = 10",
            '  size = "10"',
            "size = \"10\": 'root_volume.size' should be a valid integer",
        ),
        (
            "  encrypted  = true",
            "  encrypted = 1",
            "encrypted = 1: 'root_volume.encrypted' should be a valid boolean",
        ),
        (
            '  owner = "136693071363"',
            "  owner = 136693071363",
            "owner = 136693071363: 'base.owner' should be a valid string",
        ),
        (
            '  owner = "136693071363"',
            '  owner = "debian"',
            "owner = \"debian\": 'base.owner' 'debian' is not a 12-digit account",
        ),
        (
            'ssh_user = "admin"',
            "",
            "-: 'ssh_user' is missing -- debian13.pkrvars.hcl explains every field",
        ),
        (
            '    x86_64 = "debian-13-amd64-*"',
            '    x86_64 = "debian-13-amd64-*"\n    amd64 = "x"',
            "amd64 = \"x\": 'base.name.amd64' should be 'x86_64' or 'arm64'",
        ),
        (
            '  arm64  = "t4g.small"',
            "",
            "instance_type = {: instance_type must name the same architectures",
        ),
        (
            '  "10-system",',
            '  "10-sytem",',
            "\"10-sytem\",: there is no step '10-sytem' in ",
        ),
        (
            '  "10-system",',
            '  "10-system",\n  "10-system",',
            "\"10-system\",: '10-system' stands in steps twice",
        ),
        (
            '  "95-validate",',
            "",
            "steps = [: steps must end with 80-record, 90-hygiene, 95-validate",
        ),
        (
            '  source = "distro"\n',
            '  source = "distribution"\n',
            "source = \"distribution\": 'htcondor.source' should be 'distro', "
            "'distro-unstable', 'upstream' or 'repository'",
        ),
        (
            '  source = "distro"\n',
            '  source = "upstream"\n',
            "htcondor = {: 'htcondor' source 'upstream' also needs url, key_url, "
            "key_sha256 or key_fingerprint",
        ),
        (
            '  source = "distro"\n',
            UPSTREAM,
            "htcondor = {: source 'upstream' of a Debian repository also needs "
            "component",
        ),
        (
            '  source = "distro"\n',
            f'{UPSTREAM}  component = "main"\n  key_sha256 = "{"0" * 64}"\n',
            "htcondor = {: 'htcondor' key_sha256 and key_fingerprint: one of them is",
        ),
        (
            '  source = "distro"\n',
            UPSTREAM.replace("A" * 40, "a" * 40) + '  component = "main"\n',
            f"key_fingerprint = \"{'a' * 40}\": 'htcondor.key_fingerprint' "
            f"'{'a' * 40}' is not 40 hex digits, capitals",
        ),
        (
            '  source = "distro"\n',
            '  source = "repository"\n',
            "source = \"repository\": source 'repository' is for family 'el' only",
        ),
        (
            'family = "debian"',
            'family = "el"',
            "source = \"distro\": family 'el' has no HTCondor of its own for source "
            "'distro'",
        ),
        (
            "enable_repositories = []",
            'enable_repositories = ["crb"]',
            "enable_repositories = [\"crb\"]: enable_repositories are for family 'el' "
            "only",
        ),
        (
            "packages = []",
            'packages = ["strace"]',
            "steps = [: repositories and packages need the steps 10-system, "
            "20-htcondor, 25-packages in this order",
        ),
        (
            "packages = []",
            'packages = ["a b"]',
            "packages = [\"a b\"]: 'packages.0' 'a b' is not a package's name",
        ),
        (
            '  suite  = "trixie"',
            '  suite = "trixie"\n  url = "https://example.com/"',
            "htcondor = {: 'htcondor' only source 'upstream' has url",
        ),
        (
            '  series = "23.9"',
            '  series = "latest"',
            "series = \"latest\": 'htcondor.series' 'latest' is not such as 23.9",
        ),
        (
            "  throughput = 125",
            "  throughput = 1000",
            "root_volume = {: 'root_volume' throughput may be at most a quarter",
        ),
        (
            "  iops       = 3000",
            "  iops = 100",
            "iops = 100: 'root_volume.iops' should be greater than or equal to 3000",
        ),
        (
            'contracts = ["annexkit", "annex-ec2"]',
            'contracts = ["annexkits"]',
            "contracts = [\"annexkits\"]: 'contracts.0' should be 'annexkit'",
        ),
        (
            'contracts = ["annexkit", "annex-ec2"]',
            'contracts = ["seed-cfn"]',
            "contracts = [\"seed-cfn\"]: contract 'seed-cfn' needs helper_scripts",
        ),
        (
            'contracts = ["annexkit", "annex-ec2"]',
            'contracts = ["annexkit"]\nhelper_scripts = { source = "annexkit" }',
            'helper_scripts = { source = "annexkit" }: helper_scripts are for contract',
        ),
        (
            'contracts = ["annexkit", "annex-ec2"]',
            'contracts = ["seed-cfn"]\nhelper_scripts = { source = "aws" }',
            "helper_scripts = { source = \"aws\" }: 'helper_scripts' source 'aws' also "
            "needs url and sha256",
        ),
        (
            'contracts = ["annexkit", "annex-ec2"]',
            'contracts = ["seed-cfn"]\n'
            'helper_scripts = { source = "annexkit", url = "https://example.org/x" }',
            'helper_scripts = { source = "annexkit", url = "https://example.org/x" }: '
            "'helper_scripts' only source 'aws' has url",
        ),
        (
            'contracts = ["annexkit", "annex-ec2"]',
            'contracts = ["seed-cfn"]\n'
            'helper_scripts = { source = "annexkit", sha = "1" }',
            'helper_scripts = { source = "annexkit", sha = "1" }: unknown key '
            "'helper_scripts.sha' -- did you mean 'sha256'?",
        ),
        (
            'contracts = ["annexkit", "annex-ec2"]',
            "contracts = []",
            "contracts = []: contracts must name at least one",
        ),
        (
            "tags = {}",
            'tags = { "annexkit:owner" = "me" }',
            'tags = { "annexkit:owner" = "me" }: tag \'annexkit:owner\' is not a '
            "recipe's to set",
        ),
        (
            "tags = {}",
            'tags = { Note = "{{ .SourceAMI }}" }',
            "tags = { Note = \"{{ .SourceAMI }}\" }: 'tags.Note' has '{{', which",
        ),
        (
            "tags = {}",
            'tags = { Note = "\\u0007" }',
            "tags = { Note = \"\\u0007\" }: 'tags.Note' has a control character",
        ),
        (
            "environment = {}",
            'environment = { ANNEXKIT_BUILD = "x" }',
            'environment = { ANNEXKIT_BUILD = "x" }: environment variable '
            "'ANNEXKIT_BUILD' is not a recipe's to set",
        ),
        (
            "environment = {}",
            'environment = { "site name" = "x" }',
            'environment = { "site name" = "x" }: \'environment.site name\' '
            "'site name' is not a name such as SITE_NAME",
        ),
        (
            "environment = {}",
            "environment = { SITE = var.site }",
            "environment = { SITE = var.site }: 'environment.SITE' is an expression",
        ),
        (
            "environment = {}",
            'name = "x"',
            "name = \"x\": an image's name is its file's name -- remove this line",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_what_mends_it(
    project: Path, old: str, new: str, expected: str
) -> None:
    said = findings(project, old, new)
    assert len(said) == 1, said
    assert said[0].startswith(expected)


def test_everything_that_is_wrong_is_said_at_once_in_the_order_of_lines(
    project: Path,
) -> None:
    said = findings(
        project,
        'ssh_user = "admin"',
        'ssh_user = "Ad min"\nsize = 1\nssh_usr = local.user\nsteps = ["x"]',
    )
    starts = [line.split(":")[0] for line in said]
    assert starts[:3] == ['ssh_user = "Ad min"', "size = 1", "ssh_usr = local.user"]
    assert any("'steps' is set twice" in line for line in said)


def test_more_tags_than_ec2_takes_are_refused(project: Path) -> None:
    many = "\n".join(f'  t{n} = "x"' for n in range(46))
    (said,) = findings(project, "tags = {}", f"tags = {{\n{many}\n}}")
    assert "at most 45 tags fit" in said


def test_an_architecture_without_base_ami_is_an_error_of_the_user() -> None:
    with pytest.raises(UsageError, match="no base AMI for architecture 'riscv64'"):
        load_image(IMAGES, "debian13").architecture("riscv64")


def test_recipes_carry_no_secret_and_explain_each_field_once() -> None:
    text = (IMAGES / "debian13.pkrvars.hcl").read_text()
    image = load_image(IMAGES, "debian13")
    for field in set(type(image).model_fields) - {"name"}:
        above = text.split(f"\n{field} = ")[0].rsplit("\n\n", 1)[-1]
        assert above.startswith("#"), f"{field} is not explained"
    assert (ROOT / "packer" / "images").is_dir()

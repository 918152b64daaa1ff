"""The rendered templates: golden files, the attribute table, and what they say.

``ANNEXKIT_UPDATE_GOLDEN=1 pytest tests/unit/bake/test_template.py`` writes the golden
files anew; their difference is then read like any other.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hcl2
import pytest

from annexkit.bake import hcl
from annexkit.bake.dialect import Dialect
from annexkit.bake.recipe import HelperScripts, HTCondor, Image
from annexkit.bake.template import Rendered, render
from annexkit.bake.variables import run_variables
from annexkit.bake.written import write_rendered
from tests.unit.bake.samples import BASE, PLUGIN, RECIPES, ROOT, recipe, run_values

GOLDEN = Path(__file__).parent / "golden"
TABLE = ROOT / "docs" / "packer-attributes.md"
OLD, NEW = Dialect.PACKER_1_6, Dialect.PACKER_1_7
PLAIN = hcl2.SerializationOptions(strip_string_quotes=True, with_comments=False)


def rendered(
    image: Image | None = None, dialect: Dialect = OLD, arch: str = "x86_64"
) -> Rendered:
    return render(image or recipe(), arch, BASE, dialect, amazon_plugin=PLUGIN)


def data(text: str) -> Any:
    return hcl2.loads(text, serialization_options=PLAIN)


def template(image: Image | None = None, dialect: Dialect = OLD) -> Any:
    return data(rendered(image, dialect).files["template.pkr.hcl"])


def source_of(document: Any) -> dict[str, Any]:
    (block,) = document["source"]
    (body,) = block["amazon-ebs"].values()
    return dict(body)


def provisioners(document: Any) -> list[tuple[str, dict[str, Any]]]:
    (build,) = document["build"]
    return [
        (kind, body)
        for block in build["provisioner"]
        for kind, body in block.items()
        if not kind.startswith("__")
    ]


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("name", RECIPES)
class TestGolden:
    @pytest.mark.packer
    def test_the_written_files_are_the_golden_ones(
        self, name: str, dialect: Dialect, tmp_path: Path
    ) -> None:
        write_rendered(
            tmp_path / "out",
            rendered(recipe(name), dialect),
            run_variables(run_values(), dialect),
            digest="d" * 64,
            recipe=f"packer/images/{name}.pkrvars.hcl",
        )
        folder = GOLDEN / f"{name}-{dialect.value}"
        if os.environ.get("ANNEXKIT_UPDATE_GOLDEN"):
            folder.mkdir(parents=True, exist_ok=True)
            for path in (tmp_path / "out").iterdir():
                (folder / path.name).write_text(_unversioned(path.read_text()))
        written = {
            path.name: _unversioned(path.read_text())
            for path in (tmp_path / "out").iterdir()
        }
        assert written == {path.name: path.read_text() for path in folder.iterdir()}

    def test_python_hcl2_reads_the_golden_files_as_what_is_rendered(
        self, name: str, dialect: Dialect
    ) -> None:
        files = rendered(recipe(name), dialect).files
        for file, text in files.items():
            golden = GOLDEN / f"{name}-{dialect.value}" / file
            assert data(golden.read_text()) == data(text)

    def test_equal_inputs_give_equal_text(self, name: str, dialect: Dialect) -> None:
        first, second = (rendered(recipe(name), dialect) for _ in range(2))
        assert first == second

    def test_every_attribute_stands_in_the_table_with_its_dialect(
        self, name: str, dialect: Dialect
    ) -> None:
        listed = _table()
        for text in rendered(recipe(name), dialect).files.values():
            for attribute in _attributes(data(text)):
                assert attribute in listed, f"{attribute} is not in {TABLE.name}"
                assert listed[attribute] in ("both", dialect.value), attribute


def test_the_table_lists_nothing_that_is_not_rendered() -> None:
    used = {
        attribute
        for dialect in Dialect
        for text in rendered(dialect=dialect).files.values()
        for attribute in _attributes(data(text))
    }
    assert set(_table()) == used


def _table() -> dict[str, str]:
    rows = re.findall(
        r"^\| `([^`]+)` \| (both|1\.6|1\.7) \| (.+) \|$", TABLE.read_text(), re.M
    )
    for name, dialect, rest in rows:
        cells = rest.split(" | ")
        assert len(cells) == 3, f"{name}: a column is missing"
        known_by = cells[0] if dialect != "1.7" else "".join(cells[:2])
        assert re.search(r"\d", known_by), f"{name}: no first version"
        assert cells[2], f"{name}: no source"
    return {name: dialect for name, dialect, _ in rows}


def _attributes(document: Any) -> Iterator[str]:
    """Yield the attributes as the table names them; maps of free keys are one."""
    for kind, blocks in document.items():
        for block in blocks if isinstance(blocks, list) else []:
            match kind:
                case "source":
                    yield from _flat("", source_of({"source": [block]}))
                case "variable":
                    for body in _bodies(block):
                        yield from _flat("variable.", body)
                case "locals":
                    yield "locals"
                case "build":
                    yield from _build(block)
                case _:
                    yield from _flat(f"{kind}.", block)


def _build(block: dict[str, Any]) -> Iterator[str]:
    yield "build.sources"
    for kind in ("provisioner", "post-processor"):
        for inner in block[kind]:
            for label, body in inner.items():
                if not label.startswith("__"):
                    yield from _flat(f"{kind}.{label}.", body)


def _bodies(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (body for key, body in block.items() if not key.startswith("__"))


def _flat(prefix: str, body: dict[str, Any]) -> Iterator[str]:
    for key, value in body.items():
        if key.startswith("__"):
            continue
        blocks = value if isinstance(value, list) else []
        nested = [b for b in blocks if isinstance(b, dict) and "__is_block__" in b]
        if not nested:
            yield f"{prefix}{key}"
        for inner in nested:
            yield from _flat(f"{prefix}{key}.", inner)


def _unversioned(text: str) -> str:
    return re.sub(r"^# Rendered by annexkit \S+\. ", "# Rendered by annexkit. ", text)


class TestSource:
    def test_the_base_ami_is_a_literal_id_and_the_root_its_device(self) -> None:
        source = source_of(template())
        assert source["source_ami"] == BASE.id
        (volume,) = source["launch_block_device_mappings"]
        volume = {k: v for k, v in volume.items() if not k.startswith("__")}
        assert volume == {
            "device_name": "/dev/xvda",
            "volume_type": "gp3",
            "volume_size": 10,
            "iops": 3000,
            "throughput": 125,
            "encrypted": True,
            "delete_on_termination": True,
        }

    def test_a_killed_packer_leaves_nothing_that_costs(self) -> None:
        source = source_of(template())
        assert source["shutdown_behavior"] == "terminate"
        for kind in ("tags", "snapshot_tags", "run_tags", "run_volume_tags"):
            assert source[kind] == "${local.tags}"
        (local,) = template()["locals"]
        assert local["tags"] == {
            "Name": "${var.ami_name}",
            "annexkit:owner": "${var.owner}",
            "annexkit:build": "${var.build_id}",
            "annexkit:image": "debian13",
            "annexkit:expires": "${var.expires}",
        }

    def test_the_region_is_the_only_one(self) -> None:
        for dialect in Dialect:
            assert "ami_regions" not in source_of(template(dialect=dialect))

    def test_only_the_newer_dialect_speaks_of_imds_and_plugins(self) -> None:
        old, new = (source_of(template(dialect=d)) for d in Dialect)
        newer = {
            "imds_support",
            "metadata_options",
            "temporary_security_group_source_public_ip",
        }
        assert set(new) - set(old) == newer
        assert new["imds_support"] == "v2.0"
        assert new["metadata_options"][0]["http_tokens"] == "required"
        assert "plugins.pkr.hcl" not in rendered(dialect=OLD).files
        plugins = data(rendered(dialect=NEW).files["plugins.pkr.hcl"])
        (required,) = plugins["packer"][0]["required_plugins"]
        assert required["amazon"]["version"] == "= 1.8.0"

    def test_the_architecture_decides_the_instance_type(self) -> None:
        text = rendered(arch="arm64").files["template.pkr.hcl"]
        assert source_of(data(text))["instance_type"] == "t4g.small"

    def test_a_recipes_tags_stand_before_ours_and_are_quoted(self) -> None:
        image = recipe(tags={"b ${x}": 'say "%{y}"', "a": "1"})
        (local,) = template(image)["locals"]
        assert list(local["tags"])[:2] == ["a", "b ${x}"]
        assert local["tags"]["b ${x}"] == 'say "%{y}"'

    def test_a_text_that_packer_would_change_is_refused(self) -> None:
        with pytest.raises(hcl.UnwritableText):
            rendered(recipe(tags={"a": "{{ .SourceAMI }}"}))
        with pytest.raises(hcl.UnwritableText):
            rendered(recipe(environment={"A": "e\u0301"}))


class TestBuild:
    def test_steps_run_in_the_recipes_order_as_root(self) -> None:
        image = recipe()
        shells = [b for kind, b in provisioners(template(image)) if kind == "shell"]
        assert "inline" in shells[0]
        assert [b["script"] for b in shells[1:]] == [
            f"${{path.root}}/../../../provision/{step}.sh" for step in image.steps
        ]
        for body in shells[1:]:
            assert body["execute_command"].endswith(
                "; sudo -n env {{ .Vars }} {{ .Path }}"
            )
            assert body["environment_vars"] == "${local.environment}"

    def test_the_package_list_comes_down_after_its_step_and_before_hygiene(
        self,
    ) -> None:
        kinds = [
            body.get("script", body.get("direction", "upload")).rpartition("/")[2]
            for _, body in provisioners(template())
        ]
        assert kinds[1] == "upload"
        assert kinds[-4:] == [
            "80-record.sh",
            "download",
            "90-hygiene.sh",
            "95-validate.sh",
        ]
        download = next(b for _, b in provisioners(template()) if "direction" in b)
        assert download["source"] == "/var/tmp/annexkit/packages.tsv"
        assert download["destination"] == "${var.packages}"

    def test_the_whole_provision_folder_goes_up_first(self) -> None:
        _, body = provisioners(template())[1]
        assert body["source"] == "${path.root}/../../../provision/"
        assert body["destination"] == "/var/tmp/annexkit/provision/"

    def test_steps_learn_what_they_need_in_their_environment(self) -> None:
        (local,) = template(recipe(environment={"SITE": "x y"}))["locals"]
        assert local["environment"] == [
            "ANNEXKIT_PROVISION=/var/tmp/annexkit/provision",
            "ANNEXKIT_IMAGE=debian13",
            "ANNEXKIT_BUILD=${var.build_id}",
            "ANNEXKIT_DIGEST=${var.digest}",
            "ANNEXKIT_DATE=${var.build_date}",
            "ANNEXKIT_CONTRACTS=annexkit annex-ec2",
            "ANNEXKIT_SSH_USER=admin",
            "ANNEXKIT_HTCONDOR_SOURCE=distro",
            "ANNEXKIT_HTCONDOR_VERSION=23.9",
            "SITE=x y",
        ]

    def test_helper_scripts_are_told_only_with_their_contract(self) -> None:
        aws = HelperScripts(source="aws", url="https://example.com/x", sha256="a" * 64)
        for image, wanted in (
            (recipe(), {}),
            (recipe("debian13-cfn"), {"SOURCE": "annexkit"}),
            (recipe("alma9-osg"), {"SOURCE": "annexkit"}),
            (
                recipe("debian13-cfn", helper_scripts=aws),
                {"SOURCE": "aws", "URL": aws.url, "SHA256": aws.sha256},
            ),
        ):
            (local,) = template(image)["locals"]
            told = dict(item.split("=", 1) for item in local["environment"])
            told = {k: v for k, v in told.items() if k.startswith("ANNEXKIT_CFN_")}
            assert told == {f"ANNEXKIT_CFN_{k}": v for k, v in wanted.items()}

    def test_upstreams_repository_is_told_only_for_upstream(self) -> None:
        upstream = HTCondor(
            source="upstream",
            suite="trixie",
            url="https://example.com/repo",
            component="main",
            key_url="https://example.com/key",
            key_sha256="0" * 64,
        )
        (local,) = template(recipe(htcondor=upstream))["locals"]
        told = dict(line.split("=", 1) for line in local["environment"])
        assert told["ANNEXKIT_HTCONDOR_URL"] == "https://example.com/repo"
        assert told["ANNEXKIT_HTCONDOR_SUITE"] == "trixie"
        assert told["ANNEXKIT_HTCONDOR_COMPONENT"] == "main"
        assert told["ANNEXKIT_HTCONDOR_KEY_URL"] == "https://example.com/key"
        assert told["ANNEXKIT_HTCONDOR_KEY_SHA256"] == "0" * 64
        (local,) = template()["locals"]
        assert not any("_URL=" in line for line in local["environment"])

    def test_the_body_for_the_digest_is_all_files_and_no_volatile_value(self) -> None:
        new = rendered(dialect=NEW)
        for text in new.files.values():
            assert text in new.body
        values = run_values()
        for volatile in (values.build_id, values.digest, values.owner, values.ami_name):
            assert volatile not in new.body

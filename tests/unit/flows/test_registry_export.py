"""The export as a person or a program meets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annexkit.console import Console
from annexkit.errors import AnnexkitError, Exit, UsageError
from annexkit.files import FileError
from annexkit.flows import registry_export
from annexkit.flows.registry_export import ExportRequest, export_amis
from annexkit.flows.site import Site
from annexkit.pool.dumped import Setting
from annexkit.pool.host import Host
from annexkit.pool.target import PoolError
from annexkit.publish.forms import FORMS
from annexkit.registry import Registry
from tests.unit.helpers import ami_id
from tests.unit.publish.samples import fill

Captured = pytest.CaptureFixture[str]
GOLDEN = Path(__file__).parents[1] / "publish" / "golden"
WEST = "us_west_2.annex_default_odi_image_id"
EAST = "us_east_1.annex_default_odi_image_id"


@pytest.fixture
def full(site: Site) -> Site:
    site.registry.update(fill)
    return site


def as_json(site: Site) -> Site:
    site.console = Console(as_json=True)
    return site


@pytest.mark.parametrize("form", FORMS)
def test_the_export_alone_is_on_standard_output(
    full: Site, capsys: Captured, form: str
) -> None:
    assert export_amis(full, ExportRequest(form)) is Exit.DONE
    assert capsys.readouterr().out == (GOLDEN / form).read_text()


def test_what_was_left_out_is_said_with_its_mend(full: Site, capsys: Captured) -> None:
    export_amis(full, ExportRequest("env"))
    said = capsys.readouterr().err
    assert "warning: debian13 x86_64 eu-west-1: left out: nothing is current: " in said
    assert "mend: invoke bake --image debian13 --arch x86_64 --region eu-west-1" in said
    assert "the AMIs of the 2016 guide are never exported" in said


def test_as_json_the_content_is_a_part_of_the_result(
    full: Site, capsys: Captured
) -> None:
    export_amis(as_json(full), ExportRequest("condor"))
    told = json.loads(capsys.readouterr().out)
    assert told["content"] == (GOLDEN / "condor").read_text()
    assert (told["amis"], told["output"], told["written"]) == (2, "", False)
    assert {"ap-south-1", "eu-west-1"} <= {o["region"] for o in told["left_out"]}


def test_amis_of_a_rehearsal_are_called_so(full: Site, capsys: Captured) -> None:
    def of_rehearsal(registry: Registry) -> None:
        registry.endpoint = "http://127.0.0.1:5000"

    full.registry.update(of_rehearsal)
    export_amis(full, ExportRequest("env"))
    said = capsys.readouterr()
    assert "these AMIs are of http://127.0.0.1:5000, and not of AWS" in said.err
    assert "at http://127.0.0.1:5000, as of" in said.out


def test_one_image_and_one_architecture_can_be_asked_for(
    full: Site, capsys: Captured
) -> None:
    export_amis(full, ExportRequest("env", ("debian13",), "arm64"))
    said = capsys.readouterr()
    lines = [line for line in said.out.splitlines() if line and line[0] != "#"]
    assert lines == [f"ANNEXKIT_AMI_DEBIAN13_ARM64_US_WEST_2={ami_id(3)}"]
    assert "left out" not in said.err, "of what was asked for, nothing is"


def test_the_condor_form_takes_image_and_architecture_of_the_settings(
    full: Site, capsys: Captured
) -> None:
    bake = full.settings.bake.model_copy(update={"arch": "arm64"})
    full.settings = full.settings.model_copy(update={"bake": bake})
    export_amis(full, ExportRequest())
    said = capsys.readouterr().out
    assert f"us_west_2.ANNEX_DEFAULT_ODI_IMAGE_ID = {ami_id(3)}\n" in said
    assert "us_east_1." not in said


def test_nothing_to_export_is_an_error_and_writes_nothing(
    full: Site, tmp_path: Path, capsys: Captured
) -> None:
    path = tmp_path / "out"
    with pytest.raises(AnnexkitError, match="no AMI to export"):
        export_amis(full, ExportRequest("condor", ("alma9",), output=str(path)))
    assert "not annex-ec2" in capsys.readouterr().err, "and why there is none"
    assert not path.exists()


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (ExportRequest("yaml"), "no form 'yaml'"),
        (ExportRequest("env", arch="sparc"), "no architecture 'sparc'"),
        (ExportRequest("env", ("debain13",)), "did you mean 'debian13'"),
        (ExportRequest("env", ("",)), "no image ''"),
        (ExportRequest("condor", ("debian13", "alma9")), "one default AMI"),
        (ExportRequest("env", check=True), "only the condor form"),
        (ExportRequest(output="x", check=True), "a check writes nothing"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything(
    full: Site, request_: ExportRequest, said: str, capsys: Captured
) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        export_amis(full, request_)
    assert all(f.mend for f in caught.value.findings)
    assert capsys.readouterr().out == ""


def test_everything_wrong_is_said_at_once(full: Site) -> None:
    with pytest.raises(UsageError) as caught:
        export_amis(full, ExportRequest("yaml", ("a", "b"), "sparc", "x", check=True))
    assert len(caught.value.findings) == 6


class TestOutput:
    @pytest.mark.parametrize("form", FORMS)
    def test_it_is_written_once_and_the_second_time_there_is_nothing_to_do(
        self, full: Site, tmp_path: Path, capsys: Captured, form: str
    ) -> None:
        path = tmp_path / "new folder" / "out"
        request = ExportRequest(form, output=str(path))
        assert export_amis(full, request) is Exit.DONE
        first = capsys.readouterr()
        assert first.out == ""
        assert "written: " in first.err
        assert path.read_text() == (GOLDEN / form).read_text()
        before = path.stat()
        export_amis(full, request)
        assert "nothing to do" in capsys.readouterr().err
        assert path.stat().st_ino == before.st_ino
        assert [p.name for p in path.parent.iterdir()] == ["out"], "nothing beside it"

    def test_an_older_export_is_replaced(self, full: Site, tmp_path: Path) -> None:
        path = tmp_path / "out"
        request = ExportRequest("ssm", output=str(path))
        export_amis(full, request)
        full.clock.sleep(86_400 * 2)
        export_amis(full, request)
        assert "5 days old" in path.read_text()

    @pytest.mark.parametrize(
        "content",
        [
            b"us_west_2.ANNEX_DEFAULT_ODI_IMAGE_ID = ami-0123abcd\n",
            b"{}",
            b"\xff\xfe\0",
            b"# Written by annexkit: invoke registry.export --format env\n",
        ],
    )
    def test_a_file_of_somebody_elses_is_never_touched(
        self, full: Site, tmp_path: Path, content: bytes
    ) -> None:
        path = tmp_path / "my file"
        path.write_bytes(content)
        with pytest.raises(UsageError, match="it was not touched") as caught:
            export_amis(full, ExportRequest("condor", output=str(path)))
        assert f"mv -n '{path}' '{path}.before'" in caught.value.mend
        assert path.read_bytes() == content

    def test_a_link_goes_on_leading_to_the_file(
        self, full: Site, tmp_path: Path
    ) -> None:
        real, link = tmp_path / "real", tmp_path / "link"
        export_amis(full, ExportRequest("env", output=str(real)))
        link.symlink_to(real)
        full.clock.sleep(86_400)
        export_amis(full, ExportRequest("env", output=str(link)))
        assert link.is_symlink()
        assert "4 days old" in real.read_text()

    def test_what_is_no_file_is_refused(self, full: Site, tmp_path: Path) -> None:
        nowhere, loop = tmp_path / "nowhere", tmp_path / "loop"
        nowhere.symlink_to(tmp_path / "missing")
        loop.symlink_to(loop)
        for path in (tmp_path, Path("/dev/null"), nowhere, loop):
            with pytest.raises(UsageError, match="not a file that can be replaced"):
                export_amis(full, ExportRequest("env", output=str(path)))

    @pytest.mark.parametrize("name", ["x" * 300, "file/below"])
    def test_what_the_disk_refuses_is_an_error_for_people(
        self, full: Site, tmp_path: Path, name: str
    ) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(FileError):
            export_amis(full, ExportRequest("env", output=str(tmp_path / name)))


class TestCheck:
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        (tmp_path / "config.d").mkdir()
        self.file = tmp_path / "config.d" / "81-annexkit-images.config"
        self.live = {
            WEST: Setting(ami_id(1), f"{self.file}, line 11"),
            EAST: Setting(ami_id(2), f"{self.file}, line 8"),
        }
        self.compiled_in = {"us_east_1.ANNEX_DEFAULT_ODI_IMAGE_ID": "ami-02ce5672"}

    @pytest.fixture
    def here(self, full: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
        """A host whose HTCondor is told what ``self.live`` holds."""
        said = {"LOCAL_CONFIG_DIR": str(self.file.parent)} | self.compiled_in

        class There(Host):
            def value(self, name: str, subsystem: str = "") -> str:
                return said.get(name, "")

        def matched(pattern: str) -> dict[str, Setting]:
            assert pattern == "ANNEX_DEFAULT_ODI_IMAGE_ID"
            return dict(self.live)

        monkeypatch.setattr(registry_export, "this_host", lambda: There("25.14.1"))
        monkeypatch.setattr(registry_export, "matching", matched)
        return full

    def test_equal_passes(self, here: Site, capsys: Captured) -> None:
        assert export_amis(here, ExportRequest(check=True)) is Exit.DONE
        said = capsys.readouterr()
        assert "has the registry's AMIs: 2" in said.err
        assert said.out == ""

    def test_a_difference_fails_and_the_mend_writes_where_it_belongs(
        self, here: Site, capsys: Captured
    ) -> None:
        self.live[WEST] = Setting("ami-0bad0bad", f"{self.file}, line 11")
        del self.live[EAST]
        assert export_amis(as_json(here), ExportRequest(check=True)) is Exit.FAILED
        told = json.loads(capsys.readouterr().out)
        assert told["same"] is False
        assert len(told["findings"]) == 2
        command = f"invoke registry.export --format condor --output {self.file}"
        assert {f["mend"] for f in told["findings"]} == {command}

    def test_htcondors_own_ami_is_named_where_nobody_set_one(
        self, here: Site, capsys: Captured
    ) -> None:
        self.live.clear()
        export_amis(here, ExportRequest(check=True))
        said = capsys.readouterr().err
        own = "us_east_1.ANNEX_DEFAULT_ODI_IMAGE_ID (<Default>): it is not set, and "
        assert f"{own}HTCondor's own is ami-02ce5672; " in said
        assert "us_west_2.ANNEX_DEFAULT_ODI_IMAGE_ID: it is not set; " in said

    def test_the_mend_of_every_difference_mends_it(
        self, here: Site, capsys: Captured
    ) -> None:
        """Type the command that a failed check prints, and check what it wrote."""
        self.live.clear()
        assert export_amis(as_json(here), ExportRequest(check=True)) is Exit.FAILED
        (mend,) = {f["mend"] for f in json.loads(capsys.readouterr().out)["findings"]}
        form, output = mend.split(" ")[3], mend.split(" ")[5]
        export_amis(here, ExportRequest(form, output=output))
        for number, line in enumerate(Path(output).read_text().splitlines(), 1):
            if line and not line.startswith("#"):
                name, value = line.split(" = ")
                self.live[name.lower()] = Setting(value, f"{output}, line {number}")
        capsys.readouterr()
        assert export_amis(here, ExportRequest(check=True)) is Exit.DONE

    def test_an_export_that_the_host_reads_under_another_name_is_written_anew(
        self, here: Site, tmp_path: Path, capsys: Captured
    ) -> None:
        own = tmp_path / "my amis"
        export_amis(here, ExportRequest("condor", output=str(own)))
        self.live[WEST] = Setting("ami-0bad0bad", f"{own}, line 11")
        capsys.readouterr()
        request = ExportRequest("condor", ("debian13",), "x86_64", check=True)
        export_amis(as_json(here), request)
        (found,) = json.loads(capsys.readouterr().out)["findings"]
        assert found["mend"] == (
            "invoke registry.export --format condor --image debian13 --arch x86_64 "
            f"--output '{own}'"
        )

    def test_a_host_that_names_amis_of_an_empty_registry_differs(
        self, here: Site, capsys: Captured
    ) -> None:
        def empty(registry: Registry) -> None:
            registry.images.clear()

        here.registry.update(empty)
        assert export_amis(as_json(here), ExportRequest(check=True)) is Exit.FAILED
        found = json.loads(capsys.readouterr().out)["findings"]
        assert [f["what"].partition("; ")[2] for f in found] == [
            "the export has no AMI for it"
        ] * 2
        assert {f["mend"] for f in found} == {f"rm -f {self.file}"}, (
            "an export of nothing is refused, so it is no mend"
        )

    def test_without_htcondor_it_is_an_error_for_people(
        self, full: Site, monkeypatch: pytest.MonkeyPatch, capsys: Captured
    ) -> None:
        monkeypatch.setattr(registry_export, "this_host", lambda: None)
        with pytest.raises(UsageError, match="no HTCondor on this host") as caught:
            export_amis(full, ExportRequest(check=True))
        assert "leave --check out" in caught.value.mend

    def test_a_configuration_that_cannot_be_read_is_an_error(
        self, here: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(pattern: str) -> Any:
            raise PoolError("Configuration Error Line 3")

        monkeypatch.setattr(registry_export, "matching", broken)
        with pytest.raises(PoolError, match="Line 3"):
            export_amis(here, ExportRequest(check=True))

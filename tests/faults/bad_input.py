"""Bad settings, flags, recipes, files of the checkout, registry, journal, disk."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from annexkit.registry import State, store
from tests.faults.command import REGISTRY, Scene
from tests.faults.situation import DRY, Situations
from tests.unit.helpers import ACCOUNT, BUILD, a_build

ALL = Situations()

# Settings
ALL.setting("REAP_MIN_AGE", "soon", "'soon' is not a duration")
ALL.setting("BAKE_REGIONS", "us_west", "'us_west' is not a region")
ALL.setting("REHEARSAL_PORT", "abc", "'abc' should be a valid integer")
ALL.setting("REHEARSAL_MACHINES", "99", "'99' should be less than or equal to 64")
ALL.setting("SSH_INTERFACE", "telnet", "'telnet' should be 'public_ip'")
ALL.setting("BAKE_NAME_PREFIX", "Annex*", "'Annex*' is not 2 to 31 of")
ALL.setting("PACKER_AMAZON_PLUGIN", "~> 1", "'~> 1' is not an exact version")
ALL.setting("BAKE_ARCH", "vax", "'vax' should be 'x86_64'")
ALL.setting("POLL", "0", "'0' should be greater than or equal to 0.05")


@ALL.when("unknown setting 'regoins'", "registry.list")
def unknown_setting(scene: Scene) -> None:
    scene.replace("invoke.yaml", "    regions: us-west-2", "    regoins: us-west-2")


@ALL.when("'5' should be a valid string", "registry.list")
def setting_of_the_wrong_type(scene: Scene) -> None:
    scene.replace("invoke.yaml", "image: debian13", "image: 5")


@ALL.when("'annexkit' is no section", "registry.list")
def empty_settings(scene: Scene) -> None:
    scene.write("invoke.yaml", "annexkit:\n")


@ALL.when("'slow' should be a section of its own", "registry.list")
def value_in_place_of_a_section(scene: Scene) -> None:
    scene.write("invoke.yaml", "annexkit:\n  bake: slow\n")


def nothing(scene: Scene) -> None:
    """What is typed is bad enough."""


ALL.add("no_such_f", "this file of settings does not exist", nothing, "-f", "no.yaml",
        "registry.list")  # fmt: skip
ALL.add("unknown_region", "unknown region 'us-west-9'", nothing, *DRY,
        "--region", "us-west-9")  # fmt: skip
ALL.add("empty_region", "the flag was given without a word", nothing, *DRY,
        "--region", "")  # fmt: skip
ALL.add("unknown_image", "there is no image 'debain13'", nothing, *DRY,
        "--image", "debain13")  # fmt: skip
ALL.add("unknown_arch", "has no base AMI for architecture 'vax'", nothing, *DRY,
        "--arch", "vax")  # fmt: skip
ALL.add("unknown_in_registry", "the registry has no image 'debian12'", nothing,
        "registry.show", "--image", "debian12")  # fmt: skip


ALL.add("smoke_nowhere", "no region to smoke", nothing, "smoke")
ALL.add("other_queue", "a night cannot be handed over to 'slurm'", nothing,
        "nightly", "--via", "slurm")  # fmt: skip
ALL.add("no_such_night", "no night 'last' was handed over to a DAG", nothing,
        "nightly-step", "--night", "last", "--step", "end")  # fmt: skip


@ALL.when("no region to bake in")
def no_region(scene: Scene) -> None:
    scene.set("INVOKE_ANNEXKIT_BAKE_REGIONS", "")


@ALL.when("the folder of image recipes does not exist")
def no_recipes(scene: Scene) -> None:
    scene.set("INVOKE_ANNEXKIT_IMAGES_DIR", "elsewhere")


# Recipes
USER = 'ssh_user = "admin"'
ALL.recipe("unknown-key", "ssh_user", "ssh_usr", "unknown key 'ssh_usr'")
ALL.recipe("missing-key", USER, "", "'ssh_user' is missing")
ALL.recipe("wrong-type", "= 3000", '= "3000"', "'root_volume.iops' should be a valid")
ALL.recipe("too-small", "= 15", "= 1", "'root_volume.size' should be greater")
ALL.recipe("throughput", "= 125", "= 900", "throughput may be at most a quarter")
ALL.recipe("syntax", '"10-system",', '"10-system,', "not valid HCL")
ALL.recipe("unknown-step", "20-htcondor", "20-htcondr", "no step '20-htcondr' in")
ALL.recipe("step-twice", '"20-htcondor"', '"10-system"', "'10-system' stands in steps")
ALL.recipe("wrong-end", '"95-validate",', "", "steps must end with 80-record")
ALL.recipe("bad-arch", 'x86_64 = "debian', 'vax = "debian', "'base.name.vax' should be")
ALL.recipe("one-arch", 'arm64  = "t4g.small"', "", "must name the same architectures")
ALL.recipe("own-tag", "tags = {}", 'tags = { Name = "x" }', "tag 'Name' is not")
ALL.recipe("braces", "tags = {}", 'tags = { x = "{{" }', "'tags.x' has '{{'")
ALL.recipe("long-tag", "tags = {}", f'tags = {{ y = "{"v" * 300}" }}', "300 characters")
ALL.recipe("own-variable", "nment = {}", 'nment = { PATH = "" }', "variable 'PATH' is")
ALL.recipe("bad-variable", "nment = {}", 'nment = { a-b = "" }', "'a-b' is not a name")
ALL.recipe("expression", USER, "ssh_user = var.user", "'ssh_user' is an expression")
ALL.recipe("key-twice", USER, f"{USER}\n{USER}", "'ssh_user' is set twice")
ALL.recipe("block", "base = {", "base {", "'base' is a block here")
ALL.recipe("owner", "136693071363", "debian", "'debian' is not a 12-digit account")
ALL.recipe("contract", '["annexkit", ', '["annexkt", ', "'contracts.0' should be")
ALL.recipe("upstream", '{\n  source = "distro"', '{\n  source = "upstream"',
           "'upstream' also needs url")  # fmt: skip
ALL.recipe("own-name", USER, f'name = "x"\n{USER}', "an image's name is its file's")
ALL.recipe("series", '"23.9"', '"25.14"', "HTCondor 25.14 is wanted, trixie has 23.9")
ALL.recipe("volume", "= 15", "= 10", "root_volume.size is 10 GiB, but base AMI")


@ALL.when("not UTF-8 text")
def recipe_in_latin_1(scene: Scene) -> None:
    path = scene.root / "packer/images/debian13.pkrvars.hcl"
    path.write_bytes(path.read_bytes() + b"# \xe9\n")


# The checkout
@ALL.when("there is no step '95-validate' in")
def no_provision_folder(scene: Scene) -> None:
    shutil.rmtree(scene.root / "provision")


@ALL.when("provision/hygiene.tsv: the bake needs this file")
def no_hygiene_list(scene: Scene) -> None:
    (scene.root / "provision/hygiene.tsv").unlink()


@ALL.when("builder.yaml:13: the user data cannot be read: ")
def broken_user_data(scene: Scene) -> None:
    scene.replace("cloud-init/builder.yaml", "poweroff]", "poweroff")


@ALL.when("builder.yaml: the file is no cloud-config")
def user_data_of_another_kind(scene: Scene) -> None:
    scene.replace("cloud-init/builder.yaml", "#cloud-config", "#!/bin/sh")


@ALL.when("nothing is known to fill '${sceonds}'")
def misspelt_place(scene: Scene) -> None:
    scene.replace("cloud-init/builder.yaml", "${seconds}", "${sceonds}")


@ALL.when("the builder's user data has ")
def user_data_too_large(scene: Scene) -> None:
    path = scene.root / "cloud-init/builder.yaml"
    path.write_text(f"{path.read_text()}\nx: {'x' * 17_000}\n")


# The registry and the journal
@ALL.when("the registry is not JSON, perhaps cut off", "registry.list", code=1)
def truncated_registry(scene: Scene) -> None:
    path = scene.root / REGISTRY
    path.write_text(path.read_text()[:-20])


@ALL.when("the registry has schema 2, this annexkit knows 1", code=1)
def registry_of_a_newer_annexkit(scene: Scene) -> None:
    scene.edit_registry(schema=2)


@ALL.when("the registry has no 'schema' number", "registry.check", code=1)
def registry_of_something_else(scene: Scene) -> None:
    scene.write(REGISTRY, "[]\n")


@ALL.when("the registry belongs to account 222222222222", code=1)
def registry_of_another_account(scene: Scene) -> None:
    scene.claim("2" * 12, "aws")


@ALL.when("123456789012 at http://127.0.0.1:1, the session", code=1)
def registry_of_another_endpoint(scene: Scene) -> None:
    scene.claim(ACCOUNT, "http://127.0.0.1:1")


@ALL.when("the key 'account' stands twice in one object", "registry.list", code=1)
def badly_merged_registry(scene: Scene) -> None:
    scene.replace(REGISTRY, "{", '{"account": "",')


@ALL.when("unknown key 'colour'", "registry.list")
def registry_with_a_key_of_its_own(scene: Scene) -> None:
    scene.edit_registry(colour="red")


@ALL.when(f"points to build {BUILD}, which is none", "registry.check")
def registry_that_points_at_nothing(scene: Scene) -> None:
    names = {"x86_64": {"us-west-2": {"current": BUILD}}}
    scene.edit_registry(images={"debian13": {"channels": names, "builds": {}}})


@ALL.when("the registry cannot be read: ", "registry.list", code=1)
def registry_that_is_a_folder(scene: Scene) -> None:
    (scene.root / REGISTRY).unlink()
    (scene.root / REGISTRY).mkdir()


@ALL.when(f"the package list of build {BUILD} is missing", "registry.check", code=1)
def lost_package_list(scene: Scene) -> None:
    build = json.loads(a_build({}).model_dump_json())
    build["packages"] = {"path": "gone.tsv", "sha256": "0" * 64}
    scene.edit_registry(images={"debian13": {"builds": {BUILD: build}}})


@ALL.when("the JSON Schema beside the registry is of another", "registry.check", code=1)
def schema_of_another_annexkit(scene: Scene) -> None:
    scene.write("ami_registry.schema.json", "{}\n")


@ALL.when("another process has held the registry for", "bake", code=1)
def registry_held_by_another(scene: Scene) -> None:
    scene.base_ami()
    scene.baked_before(State.READY)
    scene.patch.setattr(store, "LOCK_SECONDS", 0.1)
    lock = (scene.root / f"{REGISTRY}.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    scene.cleanup(lock.close)


@ALL.when("this journal entry cannot be read", "reap", "--region", "us-west-2", code=1)
def damaged_journal(scene: Scene) -> None:
    scene.write("state/journal/one.json", '{"id": "one", "kind"')


# The disk
def full(folder: Path, scene: Scene) -> None:
    """Mount a full disk there; needs root, which whoever bakes here has anyway."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "annexkit-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("only root can mount a small disk")
    scene.cleanup(lambda: subprocess.run(["umount", str(folder)], check=True))


def fill(folder: Path) -> None:
    with (folder / "filling").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return


@ALL.when("ami_registry.json: the file could not be written (No space", "bake", code=1)
def no_room_for_the_registry(scene: Scene) -> None:
    scene.base_ami()
    disk = scene.root / "disk"
    full(disk, scene)
    scene.baked_before(State.READY)
    shutil.copy(scene.root / REGISTRY, disk)
    scene.set("INVOKE_ANNEXKIT_REGISTRY", f"disk/{REGISTRY}")
    fill(disk)


@ALL.when("cannot write the template: No space", code=1)
def no_room_for_the_template(scene: Scene) -> None:
    scene.base_ami()
    full(scene.root / "packer/build", scene)
    fill(scene.root / "packer/build")


@ALL.when("-packer.json: the file could not be written (No space", "bake", code=1)
def no_room_for_the_journal(scene: Scene) -> None:
    scene.base_ami()
    full(scene.root / "state/journal", scene)
    fill(scene.root / "state/journal")


@ALL.when("the folder could not be made: Not a directory", "bake", code=1)
def file_in_place_of_the_logs(scene: Scene) -> None:
    scene.base_ami()
    scene.write("state/builds", "in the way")


@ALL.when("KiB are free here, 16384 KiB are needed", code=1)
def no_room_for_the_log(scene: Scene) -> None:
    scene.base_ami()
    full(scene.root / "state/builds", scene)
    fill(scene.root / "state/builds")

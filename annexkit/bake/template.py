"""The Packer template of an image: one model, rendered in either dialect.

Written with python-hcl2's builder; every literal passes :mod:`annexkit.bake.hcl`.
Attributes and their first versions: ``docs/packer-attributes.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import hcl2

from annexkit import tags
from annexkit.bake.base import BaseAmi
from annexkit.bake.dialect import Dialect
from annexkit.bake.hcl import Expression, dump, engine, joined, quoted
from annexkit.bake.recipe import Arch, Image
from annexkit.bake.variables import add_variables, reference

TEMPLATE = "template.pkr.hcl"
PLUGINS = "plugins.pkr.hcl"
# From packer/build/<image>-<arch>-<region>/ to the project's top folder.
TOP = "/../../.."
REMOTE = "/var/tmp/annexkit"  # noqa: S108 - on the builder; step 95 removes it
PACKAGE_LIST = f"{REMOTE}/packages.tsv"
TAGGED = ("tags", "snapshot_tags", "run_tags", "run_volume_tags")
RECORD_STEP = "80-record"
AS_ROOT = "chmod +x {{ .Path }}; sudo -n env {{ .Vars }} {{ .Path }}"


@dataclass(frozen=True)
class Rendered:
    """A rendered template: file name to HCL text, not yet formatted, no header.

    ``body`` is the part that the digest covers.
    """

    files: Mapping[str, str]
    body: str


def render(
    image: Image, arch: str, base: BaseAmi, dialect: Dialect, *, amazon_plugin: str
) -> Rendered:
    """Render the template of *image*; equal inputs give equal text.

    :param amazon_plugin: the exact version that the newer dialect pins.
    :raises UsageError: the recipe has no such architecture.
    :raises UnwritableText: a text that Packer cannot carry.
    """
    document = hcl2.Builder()
    required = quoted(dialect.required_version)
    document.block("packer", required_version=required)
    add_variables(document)
    document.block("locals", tags=_tags(image), environment=_environment(image))
    _add_source(document, image, image.architecture(arch), base, dialect)
    _add_build(document, image, arch)
    files = {TEMPLATE: dump(document)}
    if dialect.plugins:
        files[PLUGINS] = _plugins(amazon_plugin)
    return Rendered(files, body="\n".join(files[name] for name in sorted(files)))


def _plugins(version: str) -> str:
    # A file of its own: Packer 1.6 refuses the block. Exact: Packer has no lock file.
    document = hcl2.Builder()
    document.block("packer").block(
        "required_plugins",
        amazon={
            "version": quoted(f"= {version}"),
            "source": quoted("github.com/hashicorp/amazon"),
        },
    )
    return dump(document)


def _add_source(
    document: hcl2.Builder, image: Image, arch: Arch, base: BaseAmi, dialect: Dialect
) -> None:
    source = document.block(
        "source",
        [quoted("amazon-ebs"), quoted(image.name)],
        **_place(),
        **_ami(image, base),
        **_builder(image, arch),
        **_reach(image, dialect),
        **_tagged(),
    )
    _add_root_volume(source, image, base)
    source.block(
        "aws_polling",
        delay_seconds=str(reference("poll_seconds")),
        max_attempts=str(reference("poll_attempts")),
    )
    if dialect.plugins:
        source.block(
            "metadata_options",
            http_endpoint=quoted("enabled"),
            http_tokens=quoted("required"),
            http_put_response_hop_limit=1,
        )
        # metadata_options is the builder's; this marks the AMI itself.
        source.attributes["imds_support"] = quoted("v2.0")


def _place() -> dict[str, Any]:
    return {
        "region": str(reference("region")),
        "custom_endpoint_ec2": str(reference("endpoint")),
        "max_retries": str(reference("max_retries")),
    }


def _ami(image: Image, base: BaseAmi) -> dict[str, Any]:
    return {
        "ami_name": str(reference("ami_name")),
        "ami_description": quoted(image.description),
        "ami_virtualization_type": quoted("hvm"),
        "source_ami": quoted(base.id),
    }


def _builder(image: Image, arch: Arch) -> dict[str, Any]:
    return {
        "instance_type": quoted(image.instance_type[arch]),
        # The default, stop, leaves a paid volume when Packer is killed.
        "shutdown_behavior": quoted("terminate"),
        "user_data": str(reference("user_data")),
        "subnet_id": str(reference("subnet_id")),
        # A given subnet may not hand out public addresses by itself. Unset elsewhere:
        # false would take the default subnet's address away.
        "associate_public_ip_address": str(
            Expression(
                'var.subnet_id != "" && var.ssh_interface == "public_ip" ? true : null'
            )
        ),
    }


def _reach(image: Image, dialect: Dialect) -> dict[str, Any]:
    reach: dict[str, Any] = {
        "ssh_username": quoted(image.ssh_user),
        "ssh_interface": str(reference("ssh_interface")),
        "ssh_timeout": quoted("10m"),
        "ssh_clear_authorized_keys": True,
        "temporary_key_pair_type": quoted("ed25519"),
        # Named, so that the reaper knows it as ours: 1.6 tags no key pair.
        "temporary_key_pair_name": str(reference("ami_name")),
        "temporary_security_group_source_cidrs": str(reference("ssh_cidrs")),
    }
    if dialect.plugins:
        reach["temporary_security_group_source_public_ip"] = str(
            Expression("length(var.ssh_cidrs) == 0")
        )
    return reach


def _tags(image: Image) -> dict[str, Any]:
    site = {quoted(key): quoted(value) for key, value in sorted(image.tags.items())}
    ours = {
        "Name": str(reference("ami_name")),
        quoted(tags.OWNER): str(reference("owner")),
        quoted(tags.BUILD): str(reference("build_id")),
        quoted(tags.IMAGE): quoted(image.name),
        quoted(tags.EXPIRES): joined(reference("expires")),
    }
    return {**site, **ours}


def _tagged() -> dict[str, Any]:
    return dict.fromkeys(TAGGED, str(Expression("local.tags")))


def _add_root_volume(source: hcl2.Builder, image: Image, base: BaseAmi) -> None:
    volume = image.root_volume
    source.block(
        "launch_block_device_mappings",
        device_name=quoted(base.root_device),
        volume_type=quoted("gp3"),
        volume_size=volume.size,
        iops=volume.iops,
        throughput=volume.throughput,
        # Here, not encrypt_boot: that would copy the whole AMI a second time.
        encrypted=volume.encrypted,
        delete_on_termination=True,
    )


def _add_build(document: hcl2.Builder, image: Image, arch: str) -> None:
    build = document.block("build", sources=[quoted(f"source.amazon-ebs.{image.name}")])
    build.block(
        "provisioner",
        [quoted("shell")],
        inline=[quoted(f"mkdir -p {REMOTE}/provision")],
    )
    build.block(
        "provisioner",
        [quoted("file")],
        source=joined(Expression("path.root"), f"{TOP}/provision/"),
        destination=quoted(f"{REMOTE}/provision/"),
    )
    for step in image.steps:
        build.block(
            "provisioner",
            [quoted("shell")],
            script=joined(Expression("path.root"), f"{TOP}/provision/{step}.sh"),
            environment_vars=str(Expression("local.environment")),
            execute_command=engine(AS_ROOT),
        )
        if step == RECORD_STEP:
            build.block(
                "provisioner",
                [quoted("file")],
                direction=quoted("download"),
                source=quoted(PACKAGE_LIST),
                destination=str(reference("packages")),
            )
    build.block(
        "post-processor",
        [quoted("manifest")],
        output=str(reference("manifest")),
        strip_path=True,
        custom_data={
            "build": str(reference("build_id")),
            "digest": str(reference("digest")),
            "image": quoted(image.name),
            "arch": quoted(arch),
        },
    )


def _environment(image: Image) -> list[str]:
    condor = image.htcondor
    ours: dict[str, str | Expression] = {
        "ANNEXKIT_PROVISION": f"{REMOTE}/provision",
        "ANNEXKIT_IMAGE": image.name,
        "ANNEXKIT_BUILD": reference("build_id"),
        "ANNEXKIT_DIGEST": reference("digest"),
        "ANNEXKIT_DATE": reference("build_date"),
        "ANNEXKIT_CONTRACTS": " ".join(image.contracts),
        "ANNEXKIT_SSH_USER": image.ssh_user,
        "ANNEXKIT_HTCONDOR_SOURCE": condor.source,
        "ANNEXKIT_HTCONDOR_VERSION": condor.series,
    }
    ours |= _upstream(image) | _packages(image)
    if image.helper_scripts is not None:
        ours["ANNEXKIT_CFN_SOURCE"] = image.helper_scripts.source
        if image.helper_scripts.source == "aws":
            ours["ANNEXKIT_CFN_URL"] = image.helper_scripts.url or ""
            ours["ANNEXKIT_CFN_SHA256"] = image.helper_scripts.sha256 or ""
    both = [*ours.items(), *sorted(image.environment.items())]
    return [joined(f"{key}=", value) for key, value in both]


def _upstream(image: Image) -> dict[str, str]:
    condor = image.htcondor
    if condor.source not in ("upstream", "repository"):
        return {}
    told = {
        "URL": condor.url,
        "SUITE": condor.suite,
        "COMPONENT": condor.component,
        "KEY_URL": condor.key_url,
        "KEY_SHA256": condor.key_sha256,
        "KEY_FINGERPRINT": condor.key_fingerprint,
    }
    return {f"ANNEXKIT_HTCONDOR_{name}": text for name, text in told.items() if text}


def _packages(image: Image) -> dict[str, str]:
    """The recipe's packages and repositories; nothing of what it does not have."""
    lists = {
        "ANNEXKIT_PACKAGES": image.packages,
        "ANNEXKIT_REPOSITORIES": tuple(image.repositories),
        "ANNEXKIT_ENABLE_REPOSITORIES": image.enable_repositories,
    }
    told = {name: " ".join(items) for name, items in lists.items() if items}
    for name, repository in image.repositories.items():
        for field, value in repository.model_dump(exclude_none=True).items():
            told[f"ANNEXKIT_REPOSITORY_{name.upper()}_{field.upper()}"] = str(value)
    return told

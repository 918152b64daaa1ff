from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import hcl2
import pytest

from annexkit.bake import hcl
from annexkit.bake.dialect import Dialect
from annexkit.bake.variables import (
    RunVariables,
    add_variables,
    reference,
    run_variables,
)
from annexkit.errors import UsageError
from tests.unit.bake.samples import run_values

OLD, NEW = Dialect.PACKER_1_6, Dialect.PACKER_1_7


def written(tmp_path: Path, **changed: Any) -> dict[str, Any]:
    path = tmp_path / "run.pkrvars.hcl"
    path.write_text(run_variables(run_values(**changed), OLD))
    return hcl.read(path).values


def test_every_value_is_written_as_it_is(tmp_path: Path) -> None:
    changed = {"user_data": '#cloud-config\n# ${x} "y"\n', "owner": "ä %{b}"}
    values = {f.name: getattr(run_values(), f.name) for f in fields(RunVariables)}
    assert written(tmp_path, **changed) == {**values, **changed}


def test_the_template_declares_the_same_variables_without_defaults() -> None:
    document = hcl2.Builder()
    add_variables(document)
    blocks = hcl2.loads(hcl.dump(document))["variable"]
    named = {key.strip('"'): body for b in blocks for key, body in b.items()}
    assert list(named) == [f.name for f in fields(RunVariables)]
    for body in named.values():
        assert set(body) - {"__is_block__"} == {"type", "description"}
    kinds = {name: body["type"] for name, body in named.items()}
    assert kinds["ssh_cidrs"] == "${list(string)}"
    assert kinds["expires"] == kinds["poll_seconds"] == "number"


@pytest.mark.parametrize("name", ["owner", "user_data", "subnet_id"])
def test_a_value_that_packer_would_change_is_refused_by_name(name: str) -> None:
    with pytest.raises(hcl.UnwritableText, match=f"value of '{name}'"):
        run_variables(run_values(**{name: "a {{ b"}), OLD)


def test_without_addresses_the_old_packer_would_open_the_builder_to_all() -> None:
    with pytest.raises(UsageError, match="whole Internet") as caught:
        run_variables(run_values(ssh_cidrs=()), OLD)
    assert caught.value.where == "bake.ssh_cidrs"
    assert "ssh_cidrs = []" in " ".join(
        run_variables(run_values(ssh_cidrs=()), NEW).split()
    )


def test_an_address_that_is_no_network_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'10\.0\.0\.1/8' is not a net"):
        run_variables(run_values(ssh_cidrs=("10.0.0.1/8",)), NEW)


def test_the_old_packer_cannot_open_its_group_to_ipv6() -> None:
    both = ("192.0.2.7/32", "2001:db8::/64")
    with pytest.raises(UsageError, match="2001:db8::/64") as caught:
        run_variables(run_values(ssh_cidrs=both), OLD)
    assert caught.value.where == "bake.ssh_cidrs"
    assert caught.value.mend
    assert "2001:db8::/64" in run_variables(run_values(ssh_cidrs=both), NEW)


def test_what_ec2_does_not_take_is_refused_before_packer_runs() -> None:
    with pytest.raises(UsageError, match="has 16385 bytes, EC2 takes 16384"):
        run_variables(run_values(user_data="x" * 16_383 + "é"), OLD)
    run_variables(run_values(user_data="x" * 16_384), OLD)
    with pytest.raises(UsageError, match="owner's name has 257 characters"):
        run_variables(run_values(owner="x" * 257), OLD)
    with pytest.raises(UsageError, match="owner's name has a control character"):
        run_variables(run_values(owner="a\x1b"), OLD)


def test_only_declared_variables_can_be_referred_to() -> None:
    assert str(reference("region")) == "${var.region}"
    with pytest.raises(KeyError):
        reference("regoin")

"""Whether a mend names what exists: tasks, commands of the AWS CLI, settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from botocore import session, xform_name

import tasks
from annexkit.settings import Settings

TASKS = set(tasks.ns.task_names)
TASK = re.compile(r"\binvoke ([a-z][a-z-]*(?:\.[a-z-]+)?)")
# `aws SERVICE COMMAND --option ...`, up to what is no word of a command.
AWS = re.compile(r"\baws ([a-z0-9-]+) ([a-z-]+)((?: --[a-z-]+| [^-\s;,)][^\s;,)]*)*)")
OF_CLI = {"region", "query", "output"}  # of every command (AWS CLI reference)
# Commands of the CLI that are no call, and options that it makes itself.
NO_CALLS = {("sso", "login"), ("configure", "sso"), ("configure", "list-profiles")}
SHORT = {"revoke-security-group-ingress": {"protocol", "port", "cidr"}}
VARIABLE = re.compile(r"\bINVOKE_ANNEXKIT_[A-Z_]+")


def unknown(mend: str) -> list[str]:
    """Return what a mend names that there is not."""
    return [
        *(f"invoke {name}" for name in TASK.findall(mend) if name not in TASKS),
        *(name for name in VARIABLE.findall(mend) if name not in variables()),
        *_unknown_to_aws(mend),
    ]


def variables() -> set[str]:
    """Return the environment variables that Invoke takes for settings."""
    return {
        f"INVOKE_ANNEXKIT_{name}".upper()
        for section, field in Settings.model_fields.items()
        for name in [section, *(f"{section}_{key}" for key in _keys(field.annotation))]
    }


def _keys(section: Any) -> set[str]:
    return set(getattr(section, "model_fields", ()))


def _unknown_to_aws(mend: str) -> Iterator[str]:
    """Yield what botocore's models of the services do not know."""
    for service, command, rest in AWS.findall(mend):
        if (service, command) in NO_CALLS:
            continue
        found = session.get_session()
        if service not in found.get_available_services():
            yield f"aws {service}"
            continue
        model = found.get_service_model(service)
        names = {xform_name(n, "-"): n for n in model.operation_names}
        if command not in names:
            yield f"aws {service} {command}"
            continue
        shape = model.operation_model(names[command]).input_shape
        members = shape.members if shape else ()
        options = {xform_name(member, "-") for member in members} | OF_CLI
        options |= SHORT.get(command, set())
        given = set(re.findall(r"--([a-z-]+)", rest))
        yield from (f"{command} --{name}" for name in sorted(given - options))

#!/usr/bin/python3 -BEsS
"""cfn-init, as far as the stacks of the 2016 condor_annex tool need it.

Reads the metadata "AWS::CloudFormation::Init" of a stack's resource by the instance's
own role, writes its files and runs its commands. What it does not know it refuses
before it has done anything; AWS's own helper scripts know more (a recipe's
helper_scripts). Called as cfn-get-metadata it prints the metadata and does nothing.

Source: AWS CloudFormation User Guide, "cfn-init" and "AWS::CloudFormation::Init".
Beside AWS's it keeps no copy of a file that it replaces: HTCondor would read that, too.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import json
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Union
from urllib.parse import urlencode

from aws_call import AwsError, Call, ask
from imds import MetadataError

ROOT = os.environ.get("ANNEXKIT_ROOT", "")
LOG = Path(f"{ROOT}/var/log/cfn-init.log")
INIT = "AWS::CloudFormation::Init"
FORM = "application/x-www-form-urlencoded; charset=utf-8"
LARGEST = 1 << 20

CONFIG_KEYS = {"files", "commands"}
FILE_KEYS = {"content", "encoding", "mode", "owner", "group"}
COMMAND_KEYS = {"command", "env", "cwd", "test", "ignoreErrors", "waitAfterCompletion"}
DEFAULT_MODE = 0o644

# What commands find in their environment unless it says otherwise: the stack's region,
# and patience for a role whose credentials come late (AWS SDKs and Tools Reference,
# "IMDS credential provider").
REGION = "AWS_DEFAULT_REGION"
PATIENCE = {
    "AWS_METADATA_SERVICE_TIMEOUT": "5",
    "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "6",
}

Shell = Union[str, list[str]]  # noqa: UP007  (Python 3.9)


class CfnError(Exception):
    """The metadata cannot be had, or cannot be done; the text says which part."""


def metadata(stack: str, resource: str, region: str) -> dict[str, Any]:
    """Return the metadata of a stack's resource.

    :raises CfnError: it has none, or they are no JSON object.
    :raises AwsError: CloudFormation did not give them.
    """
    form = {
        "Action": "DescribeStackResource",
        "Version": "2010-05-15",
        "StackName": stack,
        "LogicalResourceId": resource,
    }
    where = f"resource {resource} of stack {stack}"
    call = Call(
        "cloudformation",
        region,
        f"describe {where}",
        headers={"content-type": FORM},
        body=urlencode(form).encode(),
        largest=LARGEST,
    )
    try:
        root = ET.fromstring(ask(call))  # noqa: S314  (AWS's own, over TLS)
        tags = (one for one in root.iter() if one.tag.rpartition("}")[2] == "Metadata")
        found = json.loads(next((one.text or "{}" for one in tags), "{}"))
    except (ET.ParseError, ValueError) as error:
        raise CfnError(f"the metadata of {where} cannot be read: {error}") from None
    if not isinstance(found, dict) or not found:
        raise CfnError(f"{where} has no metadata")
    return found


def chosen(init: Mapping[str, Any], names: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the configurations that sets of them name, in order; each by its name.

    Without any sets, "default" is the one that is called "config".

    :raises CfnError: there is no such set or configuration, or one names itself.
    """
    sets = init.get("configSets", {})
    if names == "default" and "default" not in sets:
        sets = {"default": ["config"]}
    return [
        (name, _part(init, name, "configuration"))
        for one in names.split(",")
        for name in _members(sets, one, ())
    ]


def _members(
    sets: Mapping[str, Any], name: str, above: tuple[str, ...]
) -> Iterator[str]:
    if name in above or name not in sets:
        raise CfnError(f"configSets: '{name}' names itself or is not there")
    listed = sets[name] if isinstance(sets[name], list) else [sets[name]]
    for one in listed:
        if isinstance(one, dict):
            yield from _members(sets, str(one.get("ConfigSet")), (*above, name))
        else:
            yield str(one)


def _part(data: Mapping[str, Any], name: str, kind: str) -> dict[str, Any]:
    found = data.get(name)
    if not isinstance(found, dict):
        raise CfnError(f"there is no {kind} '{name}'")
    return found


def refusals(configs: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """Say all that the configurations ask for and that is not known here."""
    return [
        f"{place}: {key}"
        for name, config in configs
        for place, data, known in _places(name, config)
        for key in sorted(set(data) - known)
    ]


def _places(
    name: str, config: dict[str, Any]
) -> Iterator[tuple[str, Mapping[str, Any], set[str]]]:
    # An empty section asks for nothing, whatever it is called.
    yield name, {key: value for key, value in config.items() if value}, CONFIG_KEYS
    for section, known in (("files", FILE_KEYS), ("commands", COMMAND_KEYS)):
        for what, data in config.get(section, {}).items():
            yield f"{name}: {what}", data, known


def apply(configs: list[tuple[str, dict[str, Any]]]) -> None:
    """Write the files and run the commands of each configuration, in order.

    :raises CfnError: it asks for what is not known here, or a command failed.
    """
    unknown = refusals(configs)
    if unknown:
        raise CfnError(
            f"not known to annexkit's cfn-init, nothing was done: {'; '.join(unknown)}"
        )
    for name, config in configs:
        say(f"configuration {name}")
        for path, data in sorted(config.get("files", {}).items()):
            write_file(path, data)
        for command, data in sorted(config.get("commands", {}).items()):
            run_command(command, data)


def write_file(path: str, data: Mapping[str, Any]) -> None:
    """Write all of a file or nothing of it, readable to others only if so asked.

    :raises CfnError: its path, content, mode or owner is none.
    """
    if not path.startswith("/"):
        raise CfnError(f"{path} is no absolute path")
    try:
        content = data.get("content", "")
        text = content if isinstance(content, str) else json.dumps(content)
        body = text.encode()
        if data.get("encoding", "plain") == "base64":
            body = base64.b64decode(body, validate=True)
        mode = int(str(data["mode"]), 8) if "mode" in data else DEFAULT_MODE
        _put(Path(ROOT + path), body, mode, data.get("owner"), data.get("group"))
    except (ValueError, binascii.Error, LookupError, OSError) as error:
        raise CfnError(f"{path} cannot be written: {error}") from error
    say(f"wrote {path}")


def _put(path: Path, body: bytes, mode: int, owner: Any, group: Any) -> None:
    if mode >> 12 not in (0, 0o10):  # such as 120777, a symbolic link
        raise ValueError(f"mode {mode:o} is not that of a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.annexkit-new")
    beside.unlink(missing_ok=True)
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(body)
    if owner or group:
        shutil.chown(beside, owner or None, group or None)
    beside.chmod(mode & 0o7777)
    beside.replace(path)


def run_command(name: str, data: Mapping[str, Any]) -> None:
    """Run a command, unless its test says that there is no need.

    :raises CfnError: it failed, or cannot be started.
    """
    test = data.get("test")
    if test and _run(test, data):
        say(f"command {name}: not needed, its test failed")
        return
    code = _run(data.get("command", ""), data)
    if code and str(data.get("ignoreErrors", "")).lower() != "true":
        raise CfnError(f"command {name} failed: exit code {code}; see {LOG}")
    say(f"command {name}: exit code {code}")
    time.sleep(max(0, int(data.get("waitAfterCompletion", 0))))


def _run(command: Shell, data: Mapping[str, Any]) -> int:
    """Run a command as the metadata has it: text is the shell's, a list is not."""
    if not command:
        raise CfnError("a command has no 'command'")
    environment = {str(key): str(value) for key, value in data.get("env", {}).items()}
    with LOG.open("ab") as log:
        try:
            return subprocess.run(
                command,
                shell=isinstance(command, str),
                env={**os.environ, **environment},
                cwd=data.get("cwd"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode
        except OSError as error:
            raise CfnError(f"cannot run {command!r}: {error}") from error


def say(text: str) -> None:
    """Say something in the log, which is root's, and on standard output."""
    print(f"cfn-init: {text}", flush=True)
    with LOG.open("a") as log:
        log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n")


def arguments(argv: list[str]) -> argparse.Namespace:
    """Read the command line, in the form that AWS's own takes."""
    parser = argparse.ArgumentParser(prog=Path(argv[0]).name, description=__doc__)
    parser.add_argument("-s", "--stack", required=True)
    parser.add_argument("-r", "--resource", required=True)
    parser.add_argument("-c", "--configsets", default="default")
    parser.add_argument("-k", "--key", help="of cfn-get-metadata: one key alone")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("-v", "--verbose", action="store_true")
    return parser.parse_args(argv[1:])


def main() -> int:
    """Do what a stack's resource asks for; exit code 1 when it cannot be done."""
    options = arguments(sys.argv)
    try:
        found = metadata(options.stack, options.resource, options.region)
        if Path(sys.argv[0]).name == "cfn-get-metadata":
            print(json.dumps(found.get(options.key) if options.key else found))
            return 0
        for name, value in {**PATIENCE, REGION: options.region}.items():
            os.environ.setdefault(name, value)
        LOG.parent.mkdir(parents=True, exist_ok=True)
        LOG.touch(mode=0o600)
        apply(chosen(_part(found, INIT, "metadata"), options.configsets))
    except (CfnError, AwsError, MetadataError, OSError) as error:
        print(f"cfn-init: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

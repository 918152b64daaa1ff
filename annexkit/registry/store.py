"""Reading and writing the registry file: locked, checked, beside and renamed."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import ValidationError

from annexkit.errors import AnnexkitError, Finding, FindingsError, Level
from annexkit.files import write_beside
from annexkit.registry.model import SCHEMA, Registry

LOCK_SECONDS = 60


class RegistryError(AnnexkitError):
    """The registry file cannot be used as it is; it was not touched."""


@dataclass(frozen=True)
class RegistryFile:
    """The registry at one path; safe for parallel writers on one file system."""

    path: Path

    def read(self) -> Registry:
        """Return the registry; an empty one when there is no file yet.

        :raises RegistryError: not readable, not JSON, or of a newer schema.
        :raises FindingsError: JSON, but not what a registry holds.
        """
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return Registry()
        except (OSError, UnicodeDecodeError) as error:
            raise RegistryError(
                f"the registry cannot be read: {error}",
                where=str(self.path),
                mend="correct the path or the file (INVOKE_ANNEXKIT_REGISTRY, ls -l)",
            ) from error
        return self._checked(self._parsed(text))

    def update(self, change: Callable[[Registry], None]) -> Registry:
        """Read, change and write under the lock, so that no writer's work is lost.

        *change* edits the registry in place; what it made is checked before it is
        written. An exception from it leaves the file as it was.

        :raises RegistryError: the lock was not free.
        :raises FileError: the disk refused.
        :raises FindingsError: the file or the change is not a valid registry.
        """
        with self._locked():
            registry = self.read()
            change(registry)
            checked = self._checked(registry.model_dump(mode="json", by_alias=True))
            write_beside(self.path, dump(checked))
            return checked

    def claim(self, account: str, endpoint: str) -> Callable[[Registry], None]:
        """Return a change that takes an unclaimed registry for this account."""

        def change(registry: Registry) -> None:
            self.check_owner(registry, account, endpoint)
            registry.account, registry.endpoint = account, endpoint

        return change

    def check_owner(self, registry: Registry, account: str, endpoint: str) -> None:
        """Refuse a registry of another account or endpoint (law 1).

        :raises RegistryError: naming both.
        """
        if not registry.account:
            return
        if (registry.account, registry.endpoint) != (account, endpoint):
            raise RegistryError(
                f"the registry belongs to account {registry.account} at "
                f"{registry.endpoint}, the session to {account} at {endpoint}",
                where=str(self.path),
                mend="take a registry of its own: export INVOKE_ANNEXKIT_REGISTRY="
                f"{self._of_account(account)}; or log in to that account",
            )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = FileLock(f"{self.path}.lock", timeout=LOCK_SECONDS)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout as error:
            raise RegistryError(
                f"another process has held the registry for {LOCK_SECONDS} s",
                where=f"{self.path}.lock",
                mend="wait for the other annexkit to end, then run this again",
            ) from error
        except OSError as error:
            raise RegistryError(
                f"the registry cannot be locked: {error.strerror or error}",
                where=f"{self.path}.lock",
                mend="correct the folder and its permissions (ls -ld)",
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _parsed(self, text: str) -> dict[str, Any]:
        try:
            data = json.loads(text, object_pairs_hook=self._once)
        except json.JSONDecodeError as error:
            raise RegistryError(
                f"the registry is not JSON, perhaps cut off: {error.msg}",
                where=f"{self.path}:{error.lineno}",
                mend=f"restore it: {self._restoring}",
            ) from error
        if not isinstance(data, dict) or type(data.get("schema")) is not int:
            raise RegistryError(
                "the registry has no 'schema' number",
                where=str(self.path),
                mend=f"restore it: {self._restoring}",
            )
        if data["schema"] > SCHEMA:
            raise RegistryError(
                f"the registry has schema {data['schema']}, this annexkit knows "
                f"{SCHEMA}",
                where=str(self.path),
                mend="update annexkit: git pull && make install",
            )
        return data

    def _once(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Refuse a key that stands twice: of a bad merge, one half would be lost."""
        data = dict(pairs)
        if len(data) < len(pairs):
            twice = next(
                key for key, n in Counter(k for k, _ in pairs).items() if n > 1
            )
            raise RegistryError(
                f"the key '{twice}' stands twice in one object",
                where=str(self.path),
                mend=f"merge both by hand, or: {self._restoring}",
            )
        return data

    @property
    def _restoring(self) -> str:
        """The command that takes the committed registry back."""
        name = shlex.quote(self.path.name)
        folder = self.path.absolute().parent
        inside = "" if folder == Path.cwd() else f"-C {shlex.quote(str(folder))} "
        return f"git {inside}checkout -- {name}"

    def _of_account(self, account: str) -> str:
        """Return where the registry of another account may lie, beside this one."""
        name = f"{self.path.stem}.{account}{self.path.suffix}"
        return shlex.quote(str(self.path.with_name(name)))

    def _checked(self, data: dict[str, Any]) -> Registry:
        try:
            return Registry.model_validate(data)
        except ValidationError as error:
            raise FindingsError(
                Finding(
                    Level.ERROR,
                    f"unknown key '{item['loc'][-1]}'"
                    if item["type"] == "extra_forbidden"
                    else item["msg"].removeprefix("Value error, "),
                    f"{self.path}: {'.'.join(str(part) for part in item['loc'])}",
                    f"correct it by hand, or: git checkout -- {self.path.name}",
                )
                for item in error.errors()
            ) from None


def dump(registry: Registry) -> str:
    """Return the registry as text: keys sorted, two blanks, newline at the end."""
    data = registry.model_dump(mode="json", by_alias=True)
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def json_schema() -> str:
    """Return the JSON Schema (2020-12) of the registry file, as text."""
    schema = Registry.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"

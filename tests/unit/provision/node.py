"""The node's own Python, loaded from where it lies in provision/files/."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from tests.unit.provision.conftest import NODE


def load(name: str) -> ModuleType:
    """Load ``/usr/lib/annexkit/<name>.py`` under its own name, once."""
    if name in sys.modules:
        return sys.modules[name]
    if name != "imds":
        load("imds")
    spec = importlib.util.spec_from_file_location(name, NODE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module

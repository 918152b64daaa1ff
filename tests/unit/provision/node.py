"""The node's own Python, loaded from where it lies in provision/files/."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from tests.unit.provision.conftest import NODE


def load(name: str) -> ModuleType:
    """Load ``/usr/lib/annexkit/<name>.py`` under its own name, once.

    The modules find each other as on a node, and leave no compiled file in the tree.
    """
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.append(str(NODE))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(NODE))
        sys.dont_write_bytecode = writes

"""The AMI registry: what exists, in which region, and what is current."""

from annexkit.registry.model import (
    BaseImage,
    Build,
    Channels,
    Git,
    ImageRecord,
    Packages,
    RegionBuild,
    Registry,
    State,
)
from annexkit.registry.store import RegistryError, RegistryFile, json_schema

__all__ = [
    "BaseImage",
    "Build",
    "Channels",
    "Git",
    "ImageRecord",
    "Packages",
    "RegionBuild",
    "Registry",
    "RegistryError",
    "RegistryFile",
    "State",
    "json_schema",
]

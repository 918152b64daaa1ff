"""Bake, prove and launch EC2 annexes of an HTCondor pool."""

__version__ = "0.1.0"

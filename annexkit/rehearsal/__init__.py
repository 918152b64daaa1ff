"""A cloud on this machine: EC2's API by moto, machines by podman.

The only package that knows that it is not AWS; it imports the ground floor only.
"""

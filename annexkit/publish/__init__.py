"""What leaves the registry: its current AMIs, in the forms that others read."""

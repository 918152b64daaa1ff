"""The tasks of the command line; tasks.py puts them together."""

"""The user's HTCondor pool: what annexes are given, and what the collector says."""

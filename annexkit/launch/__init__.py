"""From a registry entry to a request for nodes."""

"""What a person asks for, as sequences of calls to the rooms below."""

"""What each of us may do in AWS, and why: the one source of every policy document."""

"""What lies about in the account, whose it is, and how it is taken away."""

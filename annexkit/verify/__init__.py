"""Is this node what was baked?"""

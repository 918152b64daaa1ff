"""What an account needs before the first bake: the 2016 guide's steps, one a module."""

"""A site's inventory seen as plain data: what its store can do, what is wrong with it, which secrets it lacks."""

"""Everything that takes a GPU, in one call of a few minutes."""

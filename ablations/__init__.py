"""Studies of factors around a method: declared in a file, run by workers that share a storage."""

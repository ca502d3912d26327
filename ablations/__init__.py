"""Studies of one factor at a time."""

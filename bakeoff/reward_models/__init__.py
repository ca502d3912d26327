"""Reward models: the data that makes them, their heads, their training and their scores."""

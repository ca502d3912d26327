"""Verifiers of answers and the reward functions that are built on them."""

"""Samplers and the sources of rollouts."""

"""Policies, critics and the built-in model."""

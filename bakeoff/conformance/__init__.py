"""Checks before a comparison: would a difference between its arms be the methods' difference?"""

"""The instrument: everything that is identical for every method under comparison."""

__version__ = "0.1.0"

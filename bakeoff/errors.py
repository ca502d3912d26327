"""Errors that a user can act on."""


class BakeoffError(Exception):
    """Base of every error this library raises on purpose; the message says what to do next."""


class ConfigError(BakeoffError):
    """A setting, file or combination of settings that cannot run; the CLI exits with code 2."""


class CanaryError(BakeoffError):
    """A check during a run found that its numbers would not mean what they say."""

"""The error of settings that cannot be used."""


class InvalidSettings(Exception):
    """Settings that the server cannot start with; the text names each and what was expected."""

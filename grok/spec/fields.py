"""Errors of what a user asks for."""


class ConfigError(ValueError):
    """A value breaks a rule of the config: `<name> must <rule>, got <value>. <next step>.` is the message."""

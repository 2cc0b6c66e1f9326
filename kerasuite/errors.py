"""The errors that a person is meant to read."""


class InputError(Exception):
    """The user's input cannot be used. Says what was received, what was expected, and how to mend it.

    The command line prints the message alone and ends with exit status 2.
    """


class InUse(InputError):
    """Another process has it, and goes on with it."""


class EnvironmentFault(Exception):
    """The machine cannot do it: disk, memory, a device. Exit status 1."""

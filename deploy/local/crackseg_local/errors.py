"""The one error that this package raises on purpose: a sentence for the person at the terminal.

Raised everywhere here, printed by `__main__` without a traceback. It may not carry more than text.
"""


class LocalClusterError(Exception):
    """What happened, to what, and what to do about it."""

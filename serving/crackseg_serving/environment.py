"""Variables of the environment, read and checked for both commands: the server's and the init container's.

Called by `settings` and by `sources/__main__`. Standard library only, for the init container starts without the server's
packages. Everything raises SettingsError: one sentence that names the variable, what was found and what is expected.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence


class SettingsError(ValueError):
    """The command cannot start with what it was given."""


def refuse_arguments(command: str, arguments: Sequence[str]) -> None:
    """Raise SettingsError where a command was started with arguments: it takes none, and must not seem to have understood them."""
    if arguments:
        raise SettingsError(
            f"{command} takes no arguments, found {' '.join(arguments)!r:.100}: settings are environment variables, "
            "listed in docs/server.md"
        )


def text(env: Mapping[str, str], name: str, default: str) -> str:
    """The variable without white space around it; `default` where it is not set or empty."""
    return env.get(name, "").strip() or default


def choice(env: Mapping[str, str], name: str, default: str, choices: tuple[str, ...]) -> str:
    """One of `choices`, in any mixture of capital and small letters."""
    given = text(env, name, default)
    found = next((each for each in choices if each.lower() == given.lower()), None)
    if found is None:
        raise SettingsError(f"{name} is {given!r}, but must be one of {', '.join(choices)}")
    return found


def whole(env: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    """A whole number from `least` to `most`."""
    given = text(env, name, "")
    if not given:
        return min(max(default, least), most)  # a default may come from the machine, which nobody can correct
    try:
        number = int(given)
    except ValueError:
        raise SettingsError(f"{name} is {given!r}, but must be a whole number") from None
    if not least <= number <= most:
        raise SettingsError(f"{name} is {number}, but must be between {least} and {most}")
    return number


def share(env: Mapping[str, str], name: str, default: float) -> float:
    """A number from 0 to 1."""
    given = text(env, name, str(default))
    try:
        number = float(given)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise SettingsError(f"{name} is {given!r}, but must be a number from 0 to 1")
    return number


def sha256(env: Mapping[str, str], name: str) -> str:
    """A digest as 64 small hexadecimal digits, whether it was given with `sha256:` before them or not; empty where there is none."""
    digits = text(env, name, "").lower().removeprefix("sha256:")
    if digits and not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise SettingsError(f"{name} is {digits!r:.100}, but must be 64 hexadecimal digits, or empty")
    return digits

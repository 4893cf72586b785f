"""What the demo prints: chapters, commands, results and long steps, each with the time since the start.

Called by every other module here; knows nothing of clusters. Colours only where a terminal shows them.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_BEGAN = time.monotonic()
_REMINDER_SECONDS = 15.0
_INDENT = " " * 11
_COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "36"}


class StepFailed(Exception):  # noqa: N818 - it reads as what it says
    """A step of the demo did not hold; the text says which, what was seen and what to do."""


def paint(text: str, colour: str) -> str:
    """The text in a colour, where standard output is a terminal that wants colours."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\033[{_COLOURS[colour]}m{text}\033[0m"


def elapsed() -> float:
    """Seconds since the demo began."""
    return time.monotonic() - _BEGAN


def chapter(title: str) -> None:
    """Begin a part of the story."""
    print(f"\n{paint(f'[{elapsed():6.1f} s]', 'dim')} {paint(title, 'bold')}", flush=True)


def say(text: str, colour: str = "") -> None:
    """One or more lines below the chapter."""
    for line in text.splitlines() or [""]:
        print(f"{_INDENT}{paint(line, colour) if colour else line}".rstrip(), flush=True)


def done(text: str) -> None:
    """Something that holds."""
    say(f"{paint('✓', 'green')} {text}")


def bad(text: str) -> None:
    """Something that does not hold."""
    say(f"{paint('✗', 'red')} {text}")


def command(arguments: Iterable[str]) -> None:
    """A command as a person would type it."""
    say(f"{paint('$', 'dim')} {paint(' '.join(arguments), 'blue')}")


@contextmanager
def step(text: str) -> Iterator[None]:
    """A long step: a line when it begins, one each quarter of a minute, and one with its duration when it is done."""
    say(f"{text} …")
    began = time.monotonic()
    ended = threading.Event()

    def remind() -> None:
        while not ended.wait(_REMINDER_SECONDS):
            say(f"… still at it after {time.monotonic() - began:.0f} s: {text}", "dim")

    reminder = threading.Thread(target=remind, daemon=True)
    reminder.start()
    try:
        yield
    finally:
        ended.set()
        reminder.join()
    done(f"{text} ({time.monotonic() - began:.1f} s)")

"""Resource quantities in the one spelling that the API server keeps.

Called by `revision` and by the builders. `0.5` and `500m`, `1024Mi` and `1Gi` are the same amount; the API server
rewrites what it is sent to one of them, so we send and hash that one and never see a difference that is none.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final

_BINARY: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_PATTERN: Final = re.compile(r"([+-]?[0-9.]+)(?:([KMGTPE]i)|([numkMGTPE])|[eE]([+-]?[0-9]{1,3}))?")


@lru_cache(maxsize=4096)
def canonical(quantity: str | int) -> str:
    """The API server's spelling: no fraction, and the largest suffix that leaves none. What is no quantity stays as it is.

    >>> [canonical(text) for text in ("0.5", "1000m", "1024Mi", "1.5Gi", 2, "0.1Gi", "many")]
    ['500m', '1', '1Gi', '1536Mi', '2', '107374182400m', 'many']
    """
    text = str(quantity)
    match = _PATTERN.fullmatch(text)
    if match is None:
        return text
    number, binary, suffix, exponent = match.groups()
    try:
        amount = Decimal(number)
    except InvalidOperation:
        return text
    if exponent is not None:
        return _exponential(amount.scaleb(int(exponent)))
    if binary is not None:
        amount *= _BINARY[binary]
        # A fraction of a byte, or less than 1024 of them, has no binary spelling.
        return _binary(int(amount)) if amount == int(amount) and abs(amount) >= 1024 else _decimal(amount)
    return _decimal(amount.scaleb(_DECIMAL[suffix or ""]))


def _binary(amount: int) -> str:
    suffix = ""
    for candidate, size in _BINARY.items():
        if amount % size == 0:
            suffix = candidate
    return f"{amount // _BINARY.get(suffix, 1)}{suffix}"


def _decimal(amount: Decimal) -> str:
    if amount == 0:
        return "0"
    for suffix, power in reversed(_DECIMAL.items()):
        scaled = amount.scaleb(-power)
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}{suffix}"
    return f"{int(amount.scaleb(9).to_integral_value(rounding='ROUND_UP'))}n"  # finer than a nano: rounded up


def _exponential(amount: Decimal) -> str:
    """The spelling of what was written with an exponent: it keeps one, a multiple of three."""
    if amount == 0:
        return "0"
    power = max(power for power in range(-9, 19, 3) if (scaled := amount.scaleb(-power)) == scaled.to_integral_value())
    return f"{int(amount.scaleb(-power))}" + (f"e{power}" if power else "")

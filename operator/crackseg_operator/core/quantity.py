"""Resource quantities in the one spelling that the API server keeps.

Called by `revision` and by the builders. `0.5` and `500m`, `1024Mi` and `1Gi` are the same amount; the API server
rewrites what it is sent to one of them, so we send and hash that one and never see a difference that is none.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from functools import lru_cache
from typing import Final

_BINARY: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60}
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_PATTERN: Final = re.compile(r"([+-]?[0-9.]+)(?:([KMGTPE]i)|([numkMGTPE])|[eE]([+-]?[0-9]{1,2}))?")


@lru_cache(maxsize=4096)
def canonical(quantity: str | int) -> str:
    """The same amount as the API server leaves it: no fraction, the largest suffix that needs none, at least milli.

    What is no quantity stays as it is.

    >>> [canonical(text) for text in ("0.5", "1000m", "1024Mi", "1.5Gi", 2, "0.1Gi", "2e3", "many")]
    ['500m', '1', '1Gi', '1536Mi', '2', '107374182400m', '2k', 'many']
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
    if binary is None:
        return _decimal(amount.scaleb(int(exponent) if exponent else _DECIMAL[suffix or ""]))
    amount *= _BINARY[binary]
    # Less than a kibibyte, or no whole number of them, has no binary spelling.
    return _binary(int(amount)) if abs(amount) >= 1024 and amount % 1024 == 0 else _decimal(amount)


def _binary(amount: int) -> str:
    suffix = max((name for name, size in _BINARY.items() if amount % size == 0), key=lambda name: _BINARY[name])
    return f"{amount // _BINARY[suffix]}{suffix}"


def _decimal(amount: Decimal) -> str:
    rounded = amount.scaleb(3).to_integral_value(ROUND_CEILING).scaleb(-3)  # as the API server does with resources
    if rounded == 0:
        return "0"
    for suffix, power in reversed(_DECIMAL.items()):
        scaled = rounded.scaleb(-power)
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}{suffix}"
    raise AssertionError("a number of thousandths has a spelling in thousandths")

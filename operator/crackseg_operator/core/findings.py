"""What a diagnosis says: a reason, a sentence, and how long one may hope that it goes by itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from crackseg_operator.api.names import Reason

_LONGEST: Final = 1000


class Patience(IntEnum):
    """How long a rollout waits before it acts on a finding."""

    NONE = 0  # it does not go by itself: act at once
    SHORT = 1  # a node autoscaler or a person may cure it: a tenth of the deadline
    LONG = 2  # it usually goes by itself: the whole deadline


@dataclass(frozen=True, slots=True)
class Finding:
    """One cause for pods not being ready."""

    patience: Patience
    reason: Reason
    message: str


def clip(text: str) -> str:
    """One line of bounded length that ends with a full stop."""
    line = " ".join(text.split())[:_LONGEST].rstrip(" .:;,")
    return f"{line}."

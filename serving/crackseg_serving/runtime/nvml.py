"""Memory of the container's cards, as NVIDIA's driver counts it: of everything that uses them, this process among it.

Called when metrics are read, where a model runs on cards. Needs the package nvidia-ml-py, which only the GPU image has.
"""

from __future__ import annotations

import logging

from crackseg_serving.values import value

_LOG = logging.getLogger("crackseg.runtime")


@value
class CardMemory:
    """Of one card, in bytes."""

    card: int
    used: int
    total: int


def can_read() -> bool:
    """Whether the driver answers; a line in the log says why not."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception as error:  # noqa: BLE001 - no package, no driver, no right to ask: nothing that a model needs
        _LOG.warning("memory of cards is not among the metrics: %s", error)
        return False
    return True


def card_memory() -> list[CardMemory]:
    """Of every card that the container has. Empty where the driver does not answer this time."""
    import pynvml

    try:
        return [_of(card) for card in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError as error:
        _LOG.warning("the driver does not say how much memory is used: %s", error)
        return []


def _of(card: int) -> CardMemory:
    import pynvml

    found = pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(card))
    return CardMemory(card, int(found.used), int(found.total))

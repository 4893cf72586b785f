"""What the statistics extension tells of a model: how many requests and runs there were, and how long each part of them took.

Filled by the skins (requests) and by the engine's metrics (runs of the model, whoever asked for them), from any thread.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field, fields
from typing import Final

from crackseg_serving.values import value


@dataclass(slots=True)
class Duration:
    """How often, and how long in all."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float) -> None:
        """Once more, for `seconds`."""
        self.count += 1
        self.ns += int(seconds * 1e9)

    def document(self) -> dict[str, int]:
        """As the extension writes it."""
        return {"count": self.count, "ns": self.ns}


@value
class Times:
    """The parts of one request's time, in seconds."""

    queue: float
    compute_input: float  # tensors from the wire
    compute_infer: float  # the model, and waiting for its turn
    compute_output: float  # tensors to the wire


PARTS: Final = tuple(part.name for part in fields(Times))


@dataclass(slots=True)
class Statistics:
    """Of one model, since it was loaded."""

    last_inference: int = 0  # milliseconds since the epoch
    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    parts: dict[str, Duration] = field(default_factory=lambda: {name: Duration() for name in PARTS})
    runs: defaultdict[int, Duration] = field(default_factory=lambda: defaultdict(Duration))  # by items in the run
    _changing: threading.Lock = field(default_factory=threading.Lock)

    def ran(self, size: int, seconds: float) -> None:
        """One run of the model, of `size` items, has ended well."""
        with self._changing:
            self.runs[size].add(seconds)

    def succeeded(self, seconds: float, times: Times) -> None:
        """One inference request has its result."""
        with self._changing:
            self.last_inference = time.time_ns() // 1_000_000
            self.success.add(seconds)
            for name, part in self.parts.items():
                part.add(getattr(times, name))

    def failed(self, seconds: float) -> None:
        """One inference request has none."""
        with self._changing:
            self.fail.add(seconds)

    def document(self) -> dict[str, object]:
        """The extension's figures."""
        none = Duration().document()
        with self._changing:
            stats = {name: part.document() for name, part in self.parts.items()}
            runs = sorted((size, run.document()) for size, run in self.runs.items())
            success, fail = self.success.document(), self.fail.document()
        return {
            "last_inference": self.last_inference,
            "inference_count": sum(size * run["count"] for size, run in runs),
            "execution_count": sum(run["count"] for _, run in runs),
            "inference_stats": {"success": success, "fail": fail, **stats, "cache_hit": none, "cache_miss": none},
            "batch_stats": [
                {"batch_size": size, "compute_input": none, "compute_infer": run, "compute_output": none}
                for size, run in runs
            ],
        }

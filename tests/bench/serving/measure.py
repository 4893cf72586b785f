"""What is measured, in which order: the bare loop before and after every load, so that a busy machine slows both alike."""

from __future__ import annotations

import compileall
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tests.bench.serving.bare import Handler
from tests.bench.serving.kinds import SIDE, Kind, kinds, photograph
from tests.bench.serving.models import write_models
from tests.bench.serving.programs import ROOT, Served, python, use_of

Figures = dict[str, Any]

CLIENTS = (1, 8, 32, 128)
SHARES = (0.3, 0.6, 0.9)  # of the bare loop's rate, in an open loop
_IN_FLIGHT = 128
_BARE_SECONDS = 1.5  # at most; no longer than the loads themselves
_SOAK_PARTS = 20
#: In this order: tensors as JSON take most memory, and what is looked for is what stays after them.
_SOAK_SHARES = {"v2-json": 0.05, "grpc": 0.1, "v2-binary": 0.15, "json": 0.2, "mask": 0.5}

MODELS = ("near-free", "unet", "pavement-2.0.0")


def _path(model: str, folder: Path) -> Path:
    samples = ROOT / "deploy/samples"
    return (samples if model.startswith("pavement") else folder) / f"{model}.onnx"


class Bench:
    """One model: its requests, its bare loop, its server."""

    def __init__(self, model: str, folder: Path, seconds: float) -> None:
        self._folder, self._seconds = folder, seconds
        compileall.compile_dir(ROOT / "serving/crackseg_serving", quiet=1)  # as in the image: no start compiles
        if not (folder / "unet.onnx").exists():
            write_models(folder)
        self.name, self._model = model, _path(model, folder)
        self._jpeg = folder / "photograph.jpg"
        self._jpeg.write_bytes(photograph())
        handler = Handler(str(self._model), 1)
        x = handler.input(handler.decoded(self._jpeg.read_bytes()))
        name = handler.input_name
        self.kinds = {kind.name: kind for kind in kinds(self._model.stem, name, self._jpeg.read_bytes(), x)}
        self._cores = len(os.sched_getaffinity(0))
        self._right: dict[str, bytes] = {}

    def serve(self) -> Served:
        """The server with this model."""
        return Served(self._model, SIDE, self._folder / "server.log")

    def bare(self, kind: Kind, seconds: float | None = None, *, lone: bool = False) -> Figures:
        """The bare loop: one thread for each core, or one loop with all of them."""
        loops, threads = (1, self._cores) if lone else (self._cores, 1)
        answer = self._folder / f"{kind.bare}.answer"
        seconds = min(_BARE_SECONDS, self._seconds) if seconds is None else seconds
        found = python("bare", self._model, kind.bare, self._jpeg, seconds, loops, threads, answer)
        self._right[kind.bare] = answer.read_bytes()
        return found

    def check(self, served: Served, kind: Kind) -> None:
        """Raises ValueError where the answer is not the bare loop's."""
        if kind.bare not in self._right:
            self.bare(kind, 0)
        if not kind.right(served.ask(kind), self._right[kind.bare]):
            raise ValueError(f"{self.name}, {kind.name}: the server's answer is not the bare loop's")

    def start(self) -> tuple[Served, Figures]:
        """A server that has answered, how long that took beside the bare loop's first answer, and what it takes at rest."""
        kind = self.kinds["mask"]
        spent, began = os.times(), time.monotonic()
        self.bare(kind, 0)
        bare, used = time.monotonic() - began, os.times()
        served = self.serve()
        try:
            seconds, cpu = served.cold_start(kind)
            time.sleep(1)
        except BaseException:
            served.stop()
            raise
        idle = use_of(served.process.pid)
        bare_cpu = used.children_user + used.children_system - spent.children_user - spent.children_system
        return served, {
            "seconds": seconds,
            "cpuSeconds": cpu,
            "bareSeconds": bare,
            "bareCPUSeconds": bare_cpu,
            "idlePSS": idle.pss,
            "processes": idle.processes,
        }

    def load(self, served: Served, kind: Kind, *options: object, wait: float = 120.0) -> Figures:
        """One load of this kind."""
        body = self._folder / f"{self.name}.{kind.name}.body"
        body.write_bytes(kind.body)
        return served.load(kind, body, "--seconds", self._seconds, *options, wait=wait)

    def closed(self, served: Served, kind: Kind, clients: Sequence[int]) -> list[Figures]:
        """Closed loops, each beside the mean of the bare loops before and after it."""
        rows, before = [], self.bare(kind)
        for count in clients:
            found = self.load(served, kind, "--clients", count)
            after = self.bare(kind)
            rate, cpu = ((before[key] + after[key]) / 2 for key in ("rate", "cpu"))
            rows.append(
                {
                    "clients": count,
                    "ratio": found["rate"] / rate,
                    "bareRate": rate,
                    "bareCPU": cpu,
                    "load": os.getloadavg()[0],
                    **found,
                }
            )
            before = after
        return rows

    def open(self, served: Served, kind: Kind) -> list[Figures]:
        """Open loops at shares of the bare loop's rate."""
        rows = []
        for share in SHARES:
            due = self.bare(kind)["rate"] * share
            rows.append({"share": share, "due": due, **self.load(served, kind, "--clients", _IN_FLIGHT, "--rate", due)})
        return rows


def measure(model: str, seconds: float, clients: Sequence[int], wanted: Sequence[str]) -> Figures:
    """Everything for one model."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(model, Path(folder), seconds)
        served, start = bench.start()
        try:
            found: Figures = {"model": model, "start": start, "kinds": {}, "missing": []}
            for kind in bench.kinds.values():
                if kind.name not in wanted:
                    continue
                if kind.grpc and not served.speaks_grpc():
                    found["missing"].append(kind.name)
                    continue
                bench.check(served, kind)
                rows = bench.closed(served, kind, clients)
                lone = bench.bare(kind, lone=True)["p50"]
                found["kinds"][kind.name] = {"closed": rows, "bareLoneP50": lone}
                shown = ", ".join(f"{row['ratio']:.2f} ({row['cpu'] / row['bareCPU']:.2f})" for row in rows)
                print(f"{model} {kind.name}: ratio (of CPU) {shown}", flush=True)
            if "mask" in found["kinds"]:
                found["open"] = bench.open(served, bench.kinds["mask"])
        finally:
            served.stop()
    return found


def soak(requests: int) -> Figures:
    """So many requests of all kinds to the near-free model, and the memory after every twentieth of them."""
    part = max(1, requests // _SOAK_PARTS)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench("near-free", Path(folder), 600.0)
        served, start = bench.start()
        answered, errors, memory = 0, 0, []
        try:
            for _ in range(_SOAK_PARTS):
                for kind, share in _SOAK_SHARES.items():
                    count = max(1, round(part * share))
                    found = bench.load(served, bench.kinds[kind], "--requests", count, "--warm-up", 0, wait=900.0)
                    answered, errors = answered + found["answered"], errors + found["errors"] + found["refused"]
                memory.append(round(found["pss"], 1))
                print(f"{answered} answered, {errors} errors, {found['pss']:.0f} MiB", flush=True)
        finally:
            served.stop()
    quarter = _SOAK_PARTS // 4
    growth = statistics.median(memory[-quarter:]) - statistics.median(memory[quarter : 2 * quarter])
    return {
        "requests": answered,
        "errors": errors,
        "idlePSS": start["idlePSS"],
        "pss": memory,
        "growth": growth,  # MiB, from the second quarter to the last
    }


def machine() -> Figures:
    """Where it ran, and how busy it was."""
    named = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    import onnxruntime

    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": named[0] if named else "unknown",
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "onnxruntime": onnxruntime.__version__,
        "device": os.environ.get("INFERENCE_DEVICE", "CPU"),
        "numpy": np.__version__,
    }

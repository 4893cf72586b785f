"""`make bench-serving`: the server beside a bare loop, in one run; a table and a plot into out/serving.

python -m tests.bench.serving [--models near-free,unet] [--kinds mask,v2-binary] [--clients 1,8] [--seconds 3]
python -m tests.bench.serving --device CUDA
python -m tests.bench.serving --soak 100000
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from tests.bench.serving.bare import PROVIDERS
from tests.bench.serving.measure import CLIENTS, MODELS, machine, measure, soak
from tests.bench.serving.report import markdown, plot

_KINDS = ("mask", "json", "v2-json", "v2-binary", "grpc")


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def main() -> None:
    """Measure what is asked for; write serving.json, serving.md and serving.svg."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", type=_names, default=list(MODELS))
    parser.add_argument("--kinds", type=_names, default=list(_KINDS))
    parser.add_argument("--clients", type=_names, default=[str(count) for count in CLIENTS])
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load")
    parser.add_argument("--device", choices=tuple(PROVIDERS), default="CPU", help="of server and bare loop alike")
    parser.add_argument("--soak", type=int, default=0, metavar="N", help="only N requests, and the memory on the way")
    parser.add_argument("--out", type=Path, default=Path("out/serving"))
    options = parser.parse_args()
    os.environ["INFERENCE_DEVICE"] = options.device  # every program that is started reads it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the server that is being measured is stopped too
    options.out.mkdir(parents=True, exist_ok=True)
    found = {"machine": machine()}
    if options.soak:
        found["soak"] = soak(options.soak)
        (options.out / "soak.json").write_text(json.dumps(found, indent=1))
        print(f"memory grew by {found['soak']['growth']:+.1f} MiB from the second quarter to the last")
        return
    clients = [int(count) for count in options.clients]
    found["models"] = []
    for name in options.models:
        found["models"].append(measure(name, options.seconds, clients, options.kinds))
        (options.out / "serving.json").write_text(json.dumps(found, indent=1))
    text = markdown(found)
    (options.out / "serving.md").write_text(text)
    (options.out / "serving.svg").write_text(plot(found))
    print(text)


if __name__ == "__main__":
    main()

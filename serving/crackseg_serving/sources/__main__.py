"""The init container's command: fetch the model that MODEL_URI names to MODEL_PATH, verify it, report.

Leaves a contract.Report in the termination message, says one sentence on standard error when it fails, and exits with
0 (the model is in place), 1 (it is not) or 2 (the settings make no sense).
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from crackseg_serving import contract
from crackseg_serving.contract import Report
from crackseg_serving.failures import ModelFailure
from crackseg_serving.sources.download import Bounds, fetch
from crackseg_serving.sources.location import redact


def main() -> int:
    """Run with the process's environment."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as process 1 too: a download is stopped at once
    env = os.environ
    try:
        uri, sha256, target, bounds = _read(env)
    except ValueError as error:
        print(f"crackseg sources: {error}", file=sys.stderr)
        return 2
    try:
        digest = fetch(uri, sha256, target, env, bounds, say=lambda line: print(line, file=sys.stderr, flush=True))
    except ModelFailure as failure:
        _leave(failure.report(), env)
        print(f"{failure.reason}: {failure.message}", file=sys.stderr)
        return 1
    _leave(Report(digest=digest), env)
    print(f"{redact(uri)} is at {target}, {target.stat().st_size} bytes, {digest}")
    return 0


def _read(env: Mapping[str, str]) -> tuple[str, str, Path, Bounds]:
    uri = env.get(contract.MODEL_URI, "").strip()
    if not uri:
        raise ValueError(f"{contract.MODEL_URI} is not set: it names the model to fetch")
    sha256 = env.get(contract.MODEL_SHA256, "").strip().lower().removeprefix("sha256:")
    if sha256 and not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise ValueError(f"{contract.MODEL_SHA256} is {sha256!r}, but must be 64 hexadecimal digits, or empty")
    standard = Bounds()
    bounds = Bounds(
        max_bytes=_whole(env, "MODEL_MAX_BYTES", standard.max_bytes),
        attempts=_whole(env, "MODEL_FETCH_ATTEMPTS", standard.attempts),
        read_timeout=_whole(env, "MODEL_READ_TIMEOUT_SECONDS", int(standard.read_timeout)),
        deadline=_whole(env, "MODEL_FETCH_DEADLINE_SECONDS", int(standard.deadline)),
    )
    return uri, sha256, Path(env.get(contract.MODEL_PATH) or contract.MODEL_FILE), bounds


def _whole(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name, "").strip() or str(default)
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{name} is {text!r}, but must be a whole number from 1 on")
    return int(text)


def _leave(report: Report, env: Mapping[str, str]) -> None:
    """Leave the report where the kubelet looks for it; it made the file, and outside a pod there is none."""
    named = env.get("TERMINATION_LOG", "")
    path = Path(named or contract.TERMINATION_LOG)
    if named or path.exists():
        path.write_text(report.to_json() + "\n")


if __name__ == "__main__":
    sys.exit(main())

"""The init container's command: fetch the model that MODEL_URI names to MODEL_PATH, verify it, report.

Leaves a contract.Report in the termination message, says one sentence on standard error when it fails, and exits with
0 (the model is in place), 1 (it is not) or 2 (the settings make no sense).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from crackseg_serving import contract
from crackseg_serving.contract import Report
from crackseg_serving.environment import SettingsError, refuse_arguments, sha256, text, whole
from crackseg_serving.failures import ModelFailure
from crackseg_serving.sources.download import Bounds, fetch
from crackseg_serving.sources.location import redact
from crackseg_serving.termination import leave

_MOST_BYTES: Final = 1 << 50
_MOST_SECONDS: Final = 86_400


def main() -> int:
    """Run with the process's environment; the exit code."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as process 1 too: a download is stopped at once
    env = os.environ
    try:
        refuse_arguments("python -m crackseg_serving.sources", sys.argv[1:])
        uri, pinned, target, bounds = _read(env)
    except SettingsError as error:
        print(f"crackseg-sources: {error}", file=sys.stderr)
        return 2
    log = Path(text(env, "TERMINATION_LOG", contract.TERMINATION_LOG))
    try:
        digest = fetch(uri, pinned, target, env, bounds, say=lambda line: print(line, file=sys.stderr, flush=True))
    except ModelFailure as failure:
        leave(failure.report(), log)
        print(f"{failure.reason}: {failure.message}", file=sys.stderr)
        return 1
    leave(Report(digest=digest), log)
    print(f"{redact(uri)} is at {target}, {target.stat().st_size} bytes, {digest}")
    return 0


def _read(env: Mapping[str, str]) -> tuple[str, str, Path, Bounds]:
    uri = text(env, contract.MODEL_URI, "")
    if not uri:
        raise SettingsError(f"{contract.MODEL_URI} is not set, but must name the model to fetch")
    standard = Bounds()
    bounds = Bounds(
        max_bytes=whole(env, "MODEL_MAX_BYTES", standard.max_bytes, 1, _MOST_BYTES),
        attempts=whole(env, "MODEL_FETCH_ATTEMPTS", standard.attempts, 1, 100),
        read_timeout=whole(env, "MODEL_READ_TIMEOUT_SECONDS", int(standard.read_timeout), 1, _MOST_SECONDS),
        deadline=whole(env, "MODEL_FETCH_DEADLINE_SECONDS", int(standard.deadline), 1, _MOST_SECONDS),
    )
    target = Path(text(env, contract.MODEL_PATH, contract.MODEL_FILE))
    return uri, sha256(env, contract.MODEL_SHA256), target, bounds


if __name__ == "__main__":
    sys.exit(main())

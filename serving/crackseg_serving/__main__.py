"""The server's command: settings, logs, the model's loading, the life of the server, and the exit code.

0: asked to stop, and everything in flight was answered. 1: the model cannot be served; the termination message has a
contract.Report. 2: the settings make no sense. Imports are in the order in which a start needs them: first what opens and runs
the model, which then goes on beside all others.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

from crackseg_serving import contract, logs, memory
from crackseg_serving.failures import ModelFailure, is_memory
from crackseg_serving.settings import Settings, SettingsError, from_environment

if TYPE_CHECKING:
    from crackseg_serving.runtime.loading import Loaded

_LOG = logging.getLogger("crackseg")


def main() -> int:
    """Run until told to stop."""
    gc.disable()  # until ready: what is imported stays, and need not be looked through again and again
    memory.settle()
    # A stop asked for before anything is served needs no ceremony. (Process 1 has no default action for SIGTERM.)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    try:
        settings = from_environment()
    except SettingsError as error:
        print(f"crackseg-serving: {error}", file=sys.stderr)
        return 2
    logs.configure(settings.log_level)
    loading = _load(settings)
    from crackseg_serving.life import live

    try:
        live(settings, loading)
    except ModelFailure as failure:
        _LOG.error("%s", failure.message, extra={"reason": failure.reason})
        _leave(failure, settings)
        return 1
    except OSError as error:
        _LOG.error("the server cannot listen on %s: %s", error.filename or settings.host, error.strerror or error)
        # The model may be in the middle of being opened, and C++ aborts where the interpreter is taken down under it.
        os._exit(1)
    return 0


def _load(settings: Settings) -> Future[Loaded]:
    """Load in a thread of its own, a daemon: a model that takes for ever must not keep the process from ending."""
    # numpy would have threads and memory ready for each core, and multiplies no matrices here.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from crackseg_serving.runtime.loading import load

    loading: Future[Loaded] = Future()

    def run() -> None:
        try:
            loading.set_result(load(settings))
        except Exception as error:  # noqa: BLE001 - raised again where the future is awaited
            loading.set_exception(_as_failure(error))
        memory.give_back()  # the file and the graph as it was, for two sessions: two to three times the weights

    threading.Thread(target=run, name="load", daemon=True).start()
    return loading


def _as_failure(error: Exception) -> Exception:
    if is_memory(error) and not isinstance(error, ModelFailure):
        return ModelFailure("OutOfMemory", "the model does not fit into the container's memory: raise its limit")
    return error


def _leave(failure: ModelFailure, settings: Settings) -> None:
    """Leave the report where the kubelet looks for it; it made the file, and outside a pod there is none."""
    if settings.termination_log.exists() or str(settings.termination_log) != contract.TERMINATION_LOG:
        with contextlib.suppress(OSError):
            settings.termination_log.write_text(failure.report().to_json() + "\n")


if __name__ == "__main__":
    sys.exit(main())

"""The server's command: settings, logs, the model's loading, the life of the server, and the exit code.

Exit codes: 0, asked to stop, and everything in flight was answered; 1, the model cannot be served (the termination message
has a contract.Report) or the server cannot listen; 2, the settings make no sense.
Imports come in the order in which a start needs them: first what opens and runs the model, which a thread then does while the
rest is imported.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

from crackseg_serving import logs, memory
from crackseg_serving.environment import SettingsError, refuse_arguments
from crackseg_serving.failures import ModelFailure, is_memory
from crackseg_serving.settings import Settings, from_environment
from crackseg_serving.termination import leave

if TYPE_CHECKING:
    from crackseg_serving.runtime.loading import Loaded

_LOG = logging.getLogger("crackseg")


def main() -> int:
    """Run until told to stop."""
    gc.disable()  # until ready: what is imported stays, so looking through it for garbage again and again is wasted
    memory.settle()
    # Before anything is served, SIGTERM ends the process at once. (As process 1 it would have no default action.)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    try:
        refuse_arguments("python -m crackseg_serving", sys.argv[1:])
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
        leave(failure.report(), settings.termination_log)
        return 1
    except OSError as error:
        _LOG.error("the server cannot listen on %s: %s", error.filename or settings.host, error.strerror or error)
        # The other thread may still be opening the model, and its C++ would abort if the interpreter were torn down under it.
        os._exit(1)
    return 0


def _load(settings: Settings) -> Future[Loaded]:
    """Load in a thread of its own, a daemon: a model that takes for ever must not keep the process from ending."""
    # numpy would have threads and memory ready for each core, and multiplies no matrices here.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # A picture is worked on in one thread, beside others: OpenCV's own would wait for more work by turning in a circle.
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
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


if __name__ == "__main__":
    sys.exit(main())

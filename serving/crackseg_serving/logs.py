"""Logs as JSON, one object per line, on standard error; also what libraries print by themselves.

Configured by the command. Knows no server.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import sys
import threading
import time
from typing import Final, TextIO

from typing_extensions import override

_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _Lines(logging.Formatter):
    @override
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{key: value for key, value in vars(record).items() if key not in _OWN},
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


_LONGEST_PATH: Final = 500  # characters of a line's; a client may send thousands


class AccessLog:
    """One line per request: for every failed one, and for the share `share` (0 to 1) of the others."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._due = 0.0
        self._log = logging.getLogger("crackseg.http")

    def write(self, method: str, path: str, status: int, seconds: float, request_id: str, **why: str) -> None:
        """Log one request, unless it succeeded and is not in the sample. From the event loop's thread.

        `why` has further fields for one that failed.
        """
        if status < 400:
            self._due += self._share
            if self._due < 1:
                return
            self._due -= 1
        path = path[:_LONGEST_PATH]
        fields: dict[str, object] = {
            "request": request_id,
            "method": method,
            "path": path,
            "status": status,
            "seconds": round(seconds, 4),
            **why,
        }
        self._log.info("%s %s answered %d", method, path, status, extra=fields)


def configure(level: str) -> None:
    """Send all log lines to standard error: ours, and what libraries log or print by themselves."""
    _Lines.converter = time.gmtime
    sys.stderr = stream = _apart()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Lines())
    logging.basicConfig(level=level, handlers=[handler], force=True)


_PRINTED: Final = 1000  # characters of a library's output in one line
_PAUSE: Final = 1.0  # seconds between two such lines: a malicious file can make decoders print without end


def _apart() -> TextIO:
    """A stream to standard error for this module alone; what others print there becomes log lines, at most one per _PAUSE."""
    stream = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    faulthandler.enable(stream)  # a library's last words before a crash may be lost; the stack is still printed
    out, into = os.pipe()
    os.set_blocking(into, False)  # a writer that is faster than the reader loses output rather than block
    os.dup2(into, 2)
    os.close(into)
    threading.Thread(target=_tell, args=(out,), name="printed", daemon=True).start()
    return stream


def _tell(printed: int) -> None:
    log = logging.getLogger("crackseg.libraries")
    while text := os.read(printed, 1 << 16):
        log.warning("%.*s", _PRINTED, text.decode("utf-8", "replace").strip())
        time.sleep(_PAUSE)

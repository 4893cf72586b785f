"""Logs as JSON, one object a line, on standard error."""

from __future__ import annotations

import json
import logging
import sys
from typing import Final

from typing_extensions import override

_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


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


class AccessLog:
    """One line for a request: every one that has no result, and of the others as many as `share` (0 to 1) says."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._due = 0.0
        self._log = logging.getLogger("crackseg.http")

    def write(self, method: str, path: str, status: int, seconds: float, request_id: str, problem: str = "") -> None:
        """Log one request, or not. From the event loop's thread."""
        if status < 400:
            self._due += self._share
            if self._due < 1:
                return
            self._due -= 1
        fields: dict[str, object] = {"request": request_id, "status": status, "seconds": round(seconds, 4)}
        if problem:
            fields["problem"] = problem
        self._log.info("%s %s answered %d", method, path, status, extra=fields)


def configure(level: str) -> None:
    """Send every log line there; uvicorn's and ours alike."""
    import time

    _Lines.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel("WARNING")

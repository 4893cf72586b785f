"""Starts the operator: `crackseg-operator`, or `python -m crackseg_operator`.

Exit codes: 0 told to end, 1 a fault (start it again), 2 a setting cannot be used.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys

from crackseg_operator.settings import InvalidSettings, load
from crackseg_operator.shell.telemetry import configure_logs


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    try:
        settings = load(os.environ)
        configure_logs(settings.log_level)
        from crackseg_operator import app

        app.log_in()  # before anything is started: bad credentials are a bad setting
    except InvalidSettings as error:
        print(f"crackseg-operator: {error}", file=sys.stderr)
        sys.exit(2)
    gc.freeze()  # what is imported by now lives as long as the process
    gc.set_threshold(10_000, 20, 20)  # objects of the cluster come and go by thousands, nearly all without a cycle
    try:
        with asyncio.Runner(loop_factory=_event_loop) as runner:
            runner.run(app.run(settings))
    except Exception:
        logging.getLogger(__name__).exception("The operator ends with a fault; start it again")
        sys.exit(1)


def _event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


if __name__ == "__main__":
    main()

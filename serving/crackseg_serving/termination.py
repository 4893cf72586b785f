"""The termination message: where a container leaves its report for the kubelet, and so for the operator.

Called by both commands just before they end. Standard library only, as the init container's command is.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from crackseg_serving.contract import TERMINATION_LOG, Report


def leave(report: Report, path: Path) -> None:
    """Write `report` to `path`. The kubelet has made the default file; where that is absent, this is no pod, and nothing is written."""
    if path.exists() or str(path) != TERMINATION_LOG:
        with contextlib.suppress(OSError):  # what has to be said is in the log as well
            path.write_text(report.to_json() + "\n")

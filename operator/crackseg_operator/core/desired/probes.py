"""When a pod counts as started, ready, alive.

Called by `pod`. Loading a model may take long: the server answers `/health` as soon as it listens, and `/ready` only
after a warm-up on the real session. So a slow model is not killed, and how long it may take is the rollout's affair.
"""

from __future__ import annotations

from typing import Any, Final

from crackseg_serving import contract


def _get(path: str) -> dict[str, Any]:
    return {"path": path, "port": contract.PORT_NAME}


PROBES: Final[dict[str, Any]] = {
    # Ten minutes for the process to listen at all (a slow disk, imports under a small CPU limit).
    "startupProbe": {"httpGet": _get(contract.HEALTH_PATH), "periodSeconds": 1, "failureThreshold": 600},
    # Seen ready within two seconds; a busy server is not taken out for one slow answer.
    "readinessProbe": {
        "httpGet": _get(contract.READY_PATH),
        "periodSeconds": 2,
        "timeoutSeconds": 5,
        "failureThreshold": 3,
    },
    # A minute of silence is a dead process, not a busy one.
    "livenessProbe": {
        "httpGet": _get(contract.HEALTH_PATH),
        "periodSeconds": 10,
        "timeoutSeconds": 5,
        "failureThreshold": 6,
    },
}

"""Reading the API server's audit log: who wrote what.

Used by tests that count an operator's writes. It knows only the log's own format (audit.k8s.io/v1, one JSON object a line).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WRITE_VERBS = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True)
class Request:
    """One answered request."""

    user: str
    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str
    name: str
    code: int
    agent: str
    at: str
    uri: str


def parse(event: dict[str, Any]) -> Request:
    """One line of the log."""
    target = event.get("objectRef") or {}
    return Request(
        user=event["user"]["username"],
        verb=event["verb"],
        group=target.get("apiGroup", ""),
        resource=target.get("resource", ""),
        subresource=target.get("subresource", ""),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        code=int((event.get("responseStatus") or {}).get("code", 0)),
        agent=event.get("userAgent", ""),
        at=event["requestReceivedTimestamp"],
        uri=event["requestURI"],
    )


def requests(log: Path) -> list[Request]:
    """Every request in the log; a last line that is still being written is left out."""
    if not log.exists():
        return []
    complete, _, _ = log.read_text().rpartition("\n")
    return [parse(json.loads(line)) for line in complete.splitlines()]


def writes(log: Path, *, user: str = "") -> list[Request]:
    """The writes in the log, by one user or by all; refused ones are among them, with their code."""
    return [r for r in requests(log) if r.verb in WRITE_VERBS and user in ("", r.user)]

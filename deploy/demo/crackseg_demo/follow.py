"""Following a CrackSegModel as it changes: a line for each condition that says something new.

The watching is kubectl's; what is printed is the resource's own status, word for word.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from crackseg_demo import terminal
from crackseg_demo.kubectl import Kubectl
from crackseg_demo.terminal import StepFailed

Resource = dict[str, Any]


def condition(resource: Resource, kind: str) -> dict[str, Any]:
    """One condition of the status; empty where it is absent."""
    found: list[dict[str, Any]] = [c for c in resource.get("status", {}).get("conditions", []) if c["type"] == kind]
    return found[0] if found else {}


def up_to_date(resource: Resource) -> bool:
    """Whether the status was decided for the spec as it stands."""
    return bool(resource.get("status", {}).get("observedGeneration") == resource["metadata"]["generation"])


def serves(version: str) -> Callable[[Resource], bool]:
    """Whether this version is the stable one, ready, and nothing is under way."""

    def holds(resource: Resource) -> bool:
        status = resource.get("status", {})
        settled = condition(resource, "Ready").get("status") == "True" and not status.get("candidate")
        return up_to_date(resource) and settled and status.get("stable", {}).get("version") == version

    return holds


def rolled_back(version: str) -> Callable[[Resource], bool]:
    """Whether this version is in quarantine and no candidate is left."""

    def holds(resource: Resource) -> bool:
        status = resource.get("status", {})
        failed = {revision["version"] for revision in status.get("failedRevisions", [])}
        return up_to_date(resource) and version in failed and not status.get("candidate")

    return holds


def follow(kubectl: Kubectl, name: str, until: Callable[[Resource], bool], seconds: float) -> Resource:
    """Print what changes until the condition holds, and return the resource; raises StepFailed when time is over."""
    began, told = time.monotonic(), set[str]()
    for resource in kubectl.watch("csm", name, seconds):
        for line, message in _lines(resource):
            if message not in told:
                told.add(message)
                terminal.say(f"{time.monotonic() - began:5.1f} s  {line}: {message}")
        if until(resource):
            return resource
    seen = "\n".join(sorted(told)) or "nothing: is the operator running?"
    raise StepFailed(f"{name} did not come to where it should within {seconds:.0f} s. What it said of itself:\n{seen}")


def _lines(resource: Resource) -> list[tuple[str, str]]:
    """Each condition as (what it says in words, its sentence); conditions that say the same are told once."""
    if not up_to_date(resource):
        return []
    return [
        (f"{condition['type']}={condition['status']:<6} {condition['reason']}", condition.get("message", ""))
        for condition in resource.get("status", {}).get("conditions", [])
    ]

"""Whole worlds as YAML: see README.md beside this file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from crackseg_operator.api.names import API_VERSION, KIND, LABEL_INSTANCE, LABEL_REVISION
from crackseg_operator.core.observe import observe
from crackseg_operator.core.observed import ChildKey
from crackseg_operator.core.plan import Plan, Settings, plan

HERE = Path(__file__).parent
CASES = sorted(folder.name for folder in HERE.iterdir() if (folder / "model.yaml").exists())
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp()
SETTINGS = Settings("crackseg-serving:0.1.0", "crackseg-serving-gpu:0.1.0")


def documents(case: str, name: str) -> list[dict[str, Any]]:
    path = HERE / case / name
    return list(yaml.safe_load_all(path.read_text())) if path.exists() else []


def decide(case: str) -> Plan:
    (model,) = documents(case, "model.yaml")
    meta = model["metadata"]
    owner = {"apiVersion": API_VERSION, "kind": KIND, "name": meta["name"], "uid": meta["uid"], "controller": True}
    children = {}
    for child in documents(case, "children.yaml"):
        child["metadata"] |= {"namespace": meta["namespace"], "ownerReferences": [owner]}
        children[ChildKey(child["kind"], child["metadata"]["name"])] = child
    pods = documents(case, "pods.yaml")
    for pod in pods:
        pod["metadata"].setdefault("labels", {})[LABEL_INSTANCE] = meta["name"]
    return plan(observe(model, children, pods, {}), SETTINGS, NOW)


def decision(decided: Plan) -> dict[str, Any]:
    """What a plan changes, short enough to read."""
    of_kind: dict[str, list[Any]] = {}
    for child in decided.world:
        of_kind.setdefault(child["kind"], []).append(child)
    services = sorted(of_kind.get("Service", ()), key=lambda service: len(service["metadata"]["name"]))
    selector = services[0]["spec"]["selector"] if services else {LABEL_REVISION: "as it was"}
    return {
        "pods": {child["metadata"]["name"]: child["spec"]["replicas"] for child in of_kind.get("Deployment", ())},
        "traffic": selector.get(LABEL_REVISION, "all ready pods"),
        "candidateService": [service["metadata"]["name"] for service in services[1:]],
        "prune": [f"{key.kind}/{key.name}" for key in decided.prune],
        "events": [f"{event.type} {event.reason}: {event.message}" for event in decided.events],
        "requeueAfter": decided.requeue_after,
        "outcome": f"{decided.outcome.result} {decided.outcome.reason}" if decided.outcome else None,
        "status": plain(decided.status),
    }


def plain(value: Any) -> Any:
    """Without enums and shared parts, so that YAML shows no anchors."""
    if isinstance(value, dict):
        return {str(key): plain(child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(child) for child in value]
    return str(value) if isinstance(value, str) else value


@pytest.mark.parametrize("case", CASES)
def test_the_plan_is_the_one_written_down(case: str, *, update: bool) -> None:
    decided = decide(case)
    found = {"decision.yaml": [decision(decided)]}
    if case.startswith("fresh-"):
        found["world.yaml"] = [plain(child) for child in decided.world]
    for name, value in found.items():
        if update:
            text = yaml.safe_dump_all(value, sort_keys=False, width=120, allow_unicode=True)
            (HERE / case / name).write_text(text)
        assert documents(case, name) == value, f"{case}/{name}: pytest tests/golden --update shows the difference"


def test_every_case_has_its_expectation() -> None:
    for case in CASES:
        assert (HERE / case / "decision.yaml").exists()
        assert (HERE / case / "world.yaml").exists() == case.startswith("fresh-")

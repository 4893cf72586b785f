"""What is told of a first version whose init container fails again and again: one thing, until something changes."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.core.kubernetes import (
    INITIALIZING,
    Raw,
    ended,
    fetch,
    raw_model,
    raw_pod,
    reported,
    serving,
    waiting,
)

from crackseg_operator.core.observe import observe
from crackseg_operator.core.plan import Settings, plan

SETTINGS = Settings("serving:1", "serving-gpu:1")
RUNNING = {"running": {"startedAt": "2026-01-01T12:00:00Z"}}
MISSING = reported("ModelNotFound")
BACK_OFF = waiting("CrashLoopBackOff", "back-off 10s restarting failed container=fetch")

FIRST_TRY = fetch(0, state=RUNNING)
FAILED = fetch(0, state=MISSING)
#: Every way in which the same container may show itself after its first failure, in the order in which it may do so.
AGAIN = [
    pytest.param(FAILED, id="it has ended"),
    pytest.param(fetch(0, state=BACK_OFF, lastState=MISSING), id="it waits to be started again"),
    pytest.param(fetch(1, state={"waiting": {}}, lastState=MISSING), id="it is created anew"),
    pytest.param(fetch(1, state=RUNNING, lastState=MISSING), id="it runs again"),
    pytest.param(fetch(1, state=RUNNING), id="it runs again, and its last end is not told"),
    pytest.param(fetch(1, state=waiting("PodInitializing")), id="it is prepared, and its last end is not told"),
    pytest.param(
        fetch(1, state=waiting("RunContainerError"), lastState=MISSING), id="it could not be started this time"
    ),
    pytest.param(fetch(2, state=ended(128, "StartError"), lastState=MISSING), id="the runtime did not get it started"),
    pytest.param(
        fetch(2, state=ended(137, "ContainerStatusUnknown"), lastState=MISSING), id="the kubelet lost sight of it"
    ),
    pytest.param(fetch(2, state=RUNNING, lastState=ended(137)), id="it was killed before it could report"),
    pytest.param(fetch(2, state=MISSING, lastState=MISSING), id="it has ended once more"),
]


class Turns:
    """One model's turns, each with the status that the last one left."""

    def __init__(self) -> None:
        self.now = 1_767_268_800.0
        self.status: dict[str, Any] = {}
        self.told: list[str] = []

    def turn(self, *containers: Raw, generation: int = 1) -> dict[str, Any]:
        """The conditions after a turn in which the pod's containers show themselves so."""
        self.now += 10
        revision = (self.status.get("candidate") or {}).get("revision", "aaaaaaaaaa")
        init, *rest = containers
        pod = raw_pod(revision, initContainerStatuses=[init], containerStatuses=rest or [INITIALIZING])
        model = raw_model(status=self.status, generation=generation)
        decided = plan(observe(model, {}, [pod], {}), SETTINGS, self.now)
        self.status = dict(decided.status)
        self.told += [event.reason for event in decided.events]
        return {condition["type"]: condition for condition in self.status["conditions"]}


@pytest.fixture
def failed() -> Turns:
    turns = Turns()
    turns.turn(FIRST_TRY)
    assert turns.turn(FIRST_TRY)["Ready"]["reason"] == "Starting"
    found = turns.turn(FAILED)
    assert {kind: (found[kind]["status"], found[kind]["reason"]) for kind in ("Ready", "Stalled", "ModelVerified")} == {
        "Ready": ("False", "ModelNotFound"),
        "Stalled": ("True", "ModelNotFound"),
        "ModelVerified": ("False", "ModelNotFound"),
    }
    return turns


@pytest.mark.parametrize("container", AGAIN)
def test_a_try_that_tells_nothing_new_changes_nothing(failed: Turns, container: Raw) -> None:
    before = failed.status
    failed.turn(container)
    assert failed.status == before


def test_a_whole_loop_of_tries_is_one_status_and_one_event(failed: Turns) -> None:
    before = failed.status
    for container in AGAIN * 2:
        failed.turn(container.values[0])  # type: ignore[arg-type]
        assert failed.status == before
    assert failed.told == ["ModelNotFound"]


def test_it_is_forgotten_once_the_model_is_there(failed: Turns) -> None:
    failed.turn(fetch(1, state=RUNNING))
    done = {**fetch(1, state=ended(0, "Completed"), lastState=MISSING), "ready": True}
    conditions = failed.turn(done, serving(state=RUNNING))
    assert conditions["Ready"]["reason"] == "Starting"
    assert "Stalled" not in conditions
    assert "ModelVerified" not in conditions


def test_another_cause_takes_its_place(failed: Turns) -> None:
    failed.turn(fetch(1, state=RUNNING))
    conditions = failed.turn(fetch(1, state=reported("ModelAccessDenied")))
    assert conditions["ModelVerified"]["reason"] == conditions["Ready"]["reason"] == "ModelAccessDenied"


def test_a_changed_spec_is_judged_afresh(failed: Turns) -> None:
    assert failed.turn(fetch(1, state=RUNNING), generation=2)["Ready"]["reason"] == "Starting"

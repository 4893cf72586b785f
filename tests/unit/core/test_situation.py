"""Exactly one situation from the closed list: every row is what is on record, what is seen, and its name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crackseg_operator.api.names import Phase, Reason
from crackseg_operator.api.spec import Rollout
from crackseg_operator.api.status import Status
from crackseg_operator.core.findings import Finding, Patience
from crackseg_operator.core.memory import ALL, to_text
from crackseg_operator.core.rollout.scene import Scene, Side
from crackseg_operator.core.rollout.situation import Case, Evidence, Situation, classify

NOW = 1_000_000.0
TIMEOUT = Finding(Patience.LONG, Reason.READINESS_TIMEOUT, "Too slow.")
MISSING = Finding(Patience.NONE, Reason.MODEL_NOT_FOUND, "Not there.")
NO_ROOM = Finding(Patience.SHORT, Reason.INSUFFICIENT_GPU, "No GPU.")
HICCUP = Finding(Patience.LONG, Reason.MODEL_DOWNLOAD_FAILED, "Once.")
LOST = Finding(Patience.LONG, Reason.NODE_LOST, "Gone.")

OLD = Side("old", exists=True, wanted=3, ready=3, pods=3)
SCENE = Scene(3, "old", OLD, None, (), None, frozenset({"old"}))
EVIDENCE = Evidence("new", None, Rollout(progress_deadline_seconds=100), None, TIMEOUT, node_lost=False, now=NOW)


def status(stable: str | None = "old", candidate: str | None = None, pods: int = 1, **more: Any) -> Status:
    parts: dict[str, Any] = {}
    if stable:
        parts["stable"] = {"revision": stable, "version": "1"}
    if candidate:
        parts["candidate"] = {"revision": candidate, "version": "2", "replicas": pods}
        age, phase = more.pop("age", 0), more.pop("phase", "Starting")
        parts["rollout"] = {
            "phase": phase,
            "since": to_text(0),
            "progressed": to_text(NOW - age),
            "deadline": to_text(0),
        }
    if failed := more.pop("failed", None):
        parts["failedRevisions"] = [{"revision": failed, "version": "2", "reason": "CrashLoop", "at": to_text(0)}]
    return Status.model_validate(parts | more)


def seen(ready: int = 0, **changes: Any) -> Scene:
    candidate = Side("new", exists=True, wanted=3, ready=ready, pods=3)
    return replace(SCENE, candidate=candidate, **changes)


def given(**changes: Any) -> Evidence:
    return replace(EVIDENCE, **changes)


DISABLED = Rollout(rollback="Disabled", progress_deadline_seconds=100)
SHARED: dict[str, Any] = {"traffic": ALL, "phase": Phase.SHIFTING}

ROWS = [
    pytest.param(status(None), SCENE, given(), "FIRST", id="nothing has served yet"),
    pytest.param(status(None, "new"), seen(0), given(finding=MISSING), "FIRST", id="the first version has no way back"),
    pytest.param(status(None, "new"), seen(1), given(), "FIRST_READY", id="its first ready pod makes it stable"),
    pytest.param(status(None, "other"), seen(1), given(), "FIRST", id="the spec named another before any was ready"),
    pytest.param(status(None), replace(SCENE, replicas=0), given(), "FIRST_READY", id="with replicas 0 nobody waits"),
    pytest.param(status(), SCENE, given(wanted="old"), "SERVING", id="as wanted"),
    pytest.param(status(), SCENE, given(wanted="old", finding=MISSING), "SERVING", id="stable is never taken back"),
    pytest.param(status(candidate="new"), SCENE, given(wanted="old"), "ABORTED", id="back to stable in mid-rollout"),
    pytest.param(status(), SCENE, given(), "NEW", id="another revision"),
    pytest.param(status(candidate="other"), SCENE, given(), "NEW", id="a third revision in mid-rollout"),
    pytest.param(status(failed="new"), SCENE, given(), "QUARANTINED", id="taken back before"),
    pytest.param(status(failed="other"), SCENE, given(), "NEW", id="another one was taken back before"),
    pytest.param(status(failed="new"), SCENE, given(retry="1"), "RETRIED", id="a person asks again"),
    pytest.param(status(failed="new", retried="1"), SCENE, given(retry="1"), "QUARANTINED", id="a wish counts once"),
    pytest.param(status(failed="new", retried="1"), SCENE, given(retry="2"), "RETRIED", id="a new wish counts anew"),
    pytest.param(status(candidate="new", pods=0), SCENE, given(finding=MISSING), "WAITING", id="no pod is wanted yet"),
    pytest.param(status(candidate="new"), seen(0), given(), "STARTING", id="no traffic yet"),
    pytest.param(status(candidate="new", phase="Shifting"), seen(1, **SHARED), given(), "SHIFTING", id="some traffic"),
    pytest.param(status(candidate="new", phase="Shifting", age=4), seen(3, **SHARED), given(), "SHIFTING", id="not for long enough"),
    pytest.param(status(candidate="new", phase="Shifting", age=5), seen(3, **SHARED), given(), "PROVEN", id="whole for 5 s"),
    pytest.param(status(candidate="new", phase="Shifting", age=5), seen(3), given(), "SHIFTING", id="whole, but the Service does not point at it"),
    pytest.param(status(candidate="new", age=5), seen(3, traffic=ALL), given(), "STARTING", id="whole, but the shift is not on record"),
    pytest.param(status(candidate="new", phase="Shifting", age=5), seen(3, **SHARED), given(finding=MISSING), "FAILED", id="whole, but killed on the way"),
    pytest.param(status(candidate="new"), seen(0, replicas=0), given(), "PROVEN", id="with replicas 0 there is nothing to prove"),
    pytest.param(status(candidate="new"), seen(0), given(finding=MISSING), "FAILED", id="a certain cause"),
    pytest.param(status(candidate="new", age=9), seen(0), given(finding=NO_ROOM), "STARTING", id="no room for a moment"),
    pytest.param(status(candidate="new", age=10), seen(0), given(finding=NO_ROOM), "FAILED", id="no room for a tenth of the deadline"),
    pytest.param(status(candidate="new", age=10), seen(0), given(finding=NO_ROOM, node_lost=True), "STARTING", id="no room because a node is lost"),
    pytest.param(status(candidate="new", age=99), seen(0), given(finding=HICCUP), "STARTING", id="a hiccup"),
    pytest.param(status(candidate="new", age=99), seen(0), given(), "STARTING", id="just within the deadline"),
    pytest.param(status(candidate="new", age=100), seen(0), given(), "FAILED", id="the time is up"),
    pytest.param(status(candidate="new", age=100), seen(0), given(finding=LOST, node_lost=True), "STARTING", id="the time is up, but a node is lost"),
    pytest.param(status(candidate="new"), seen(0), given(finding=MISSING, node_lost=True), "FAILED", id="a certain cause counts beside a lost node"),
    pytest.param(status(candidate="new"), seen(0), given(finding=MISSING, policy=DISABLED), "HELD", id="rollback is Disabled"),
]  # fmt: skip


@pytest.mark.parametrize(("record", "scene", "evidence", "name"), ROWS)
def test_the_situation_has_this_name(record: Status, scene: Scene, evidence: Evidence, name: str) -> None:
    assert classify(record, scene, evidence).situation is Situation[name]


def test_every_situation_is_in_the_table() -> None:
    assert {row.values[3] for row in ROWS} == {situation.name for situation in Situation}


def judged(age: float, **changes: Any) -> Case:
    return classify(status(candidate="new", age=age), seen(0), given(**changes))


def test_the_case_says_when_time_alone_will_change_it() -> None:
    assert judged(40).until == NOW + 60
    assert judged(4, finding=NO_ROOM).until == NOW + 6
    assert judged(100, finding=LOST, node_lost=True).excused


def test_what_shows_is_put_on_record_and_slowness_only_where_nothing_shows() -> None:
    assert judged(100).finding == TIMEOUT
    assert judged(100, finding=HICCUP).finding == HICCUP
    assert judged(100, finding=LOST).finding == TIMEOUT


def test_the_first_version_is_stuck_after_its_deadline_but_tried_on() -> None:
    late = classify(status(None, "new", age=100), seen(0), given())
    assert (late.situation, late.stuck, late.finding) == (Situation.FIRST, True, TIMEOUT)

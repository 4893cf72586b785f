"""The operator itself: killed in mid-rollout, restarted, at rest; and how much it writes, by the audit log."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.e2e.spaces import Space, model

from crackseg_demo import answers
from crackseg_demo.follow import serves
from crackseg_demo.install import NAMESPACE
from crackseg_demo.kubectl import wait_until
from crackseg_demo.load import constant_load
from crackseg_local import audit, paths

HOST = "operator.e2e.localhost"
USER = f"system:serviceaccount:{NAMESPACE}:crackseg-operator"
REST_SECONDS = 20


def written(space: Space) -> list[audit.Request]:
    """The operator's writes so far; those to its Lease, which say that it lives, are not counted."""
    log = paths.State(paths.state_folder()).audit_log
    if space.cluster.kubectl.kubeconfig != paths.State(paths.state_folder()).kubeconfig:
        pytest.skip("needs the local cluster: its audit log lies on this machine")
    return [request for request in audit.writes(log, user=USER) if request.resource != "leases"]


def processes(uid: str) -> list[int]:
    """The processes of a pod, by their cgroup; those of the operator's container and no pause."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            ours = uid in (folder / "cgroup").read_text() and b"crackseg" in (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if ours:
            found.append(int(folder.name))
    return found


def kill_the_operator(space: Space) -> None:
    """SIGKILL to the operator's own process: no goodbye, no released lease."""
    kubectl = space.cluster.kubectl.within(NAMESPACE)
    if space.cluster.kubectl.kubeconfig != paths.State(paths.state_folder()).kubeconfig:
        kubectl("delete", "pods", "--all", "--grace-period=0", "--force")
        return
    pids = [pid for pod in kubectl.items("pods") for pid in processes(pod["metadata"]["uid"])]
    assert pids, "the operator's process was not found"
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def test_a_rollout_goes_on_after_the_operator_was_killed_in_the_middle(here, photograph):
    here.given(model("pavement", replicas=2, exposure={"host": HOST}))
    here.wait("pavement", serves("1.0.0"))
    answers.wait_for_route(here.target(HOST))
    with constant_load(here.target(HOST), photograph, per_second=4) as load:
        here.given(model("pavement", "pavement-2.0.0.onnx", "2.0.0", replicas=2, exposure={"host": HOST}))
        here.wait("pavement", lambda seen: "candidate" in seen.get("status", {}))
        kill_the_operator(here)
        here.wait("pavement", serves("2.0.0"))
        load.wait_for("2.0.0", 3)
    assert load.failures == []
    revision = here.seen("pavement").statuses[-1]["stable"]["revision"]
    wait_until(lambda: f"Deployment/pavement-{revision}" in here.children("pavement"), 60, "the new Deployment")
    wait_until(
        lambda: sum(child.startswith("Deployment/") for child in here.children("pavement")) == 1,
        60,
        "one Deployment is left",
    )


def test_creating_a_model_costs_one_write_a_child_and_one_a_status(here):
    before = len(written(here))
    here.given(model("counted", exposure={"host": "counted.e2e.localhost"}))
    here.wait("counted", serves("1.0.0"))

    def writes_here() -> list[audit.Request]:
        return [request for request in written(here)[before:] if request.namespace == here.name]

    def told() -> bool:
        statuses = [request for request in writes_here() if request.subresource == "status"]
        return len(statuses) == len(here.seen("counted").statuses)

    # The log and the watch tell of the same write at different times, one a bit after the other.
    wait_until(told, 60, "as many statuses written as there were news")
    writes = writes_here()
    refused = [request for request in writes if request.code >= 400]
    assert refused == []
    events = [request for request in writes if request.resource == "events"]
    statuses = [request for request in writes if request.subresource == "status"]
    children = [request for request in writes if request not in events and request not in statuses]
    assert len(children) == len(here.children("counted")), [(r.verb, r.resource, r.name) for r in children]
    assert set(Counter((r.resource, r.name) for r in children).values()) == {1}
    promoted = [r for r in events if r.verb == "create"]
    assert len(promoted) == len(events) <= 3


def test_nothing_is_written_on_restart_and_at_rest(here, restarted, note):
    for number in range(3):
        here.given(model(f"calm-{number}"))
    for number in range(3):
        here.wait(f"calm-{number}", serves("1.0.0"))
    wait_until(
        lambda: len(here.kubectl.items("events", "--field-selector=reason=Promoted")) == 3, 30, "the last Events"
    )
    before = [request for request in written(here) if request.namespace == here.name]
    began = time.monotonic()
    restarted()
    note("the operator restarted and ready", time.monotonic() - began)
    end = time.monotonic() + REST_SECONDS

    def rested() -> bool:
        now = [request for request in written(here) if request.namespace == here.name]
        assert now == before, [(r.verb, r.resource, r.name) for r in now[len(before) :]]
        return time.monotonic() > end

    wait_until(rested, REST_SECONDS + 30, f"{REST_SECONDS} s of rest")

"""The path of the demo: one YAML to a served model; a new version under load; a broken one taken back. No request fails."""

from __future__ import annotations

import time

from tests.e2e.spaces import MODELS, model

from crackseg_demo import answers
from crackseg_demo.follow import condition, rolled_back, serves
from crackseg_demo.kubectl import wait_until
from crackseg_demo.load import constant_load

HOST = "path.e2e.localhost"


def version(number: str, file: str = ""):
    uri = f"{MODELS}/{file or f'pavement-{number}.onnx'}"
    return model("pavement", model={"uri": uri, "version": number}, replicas=2, exposure={"host": HOST})


def test_a_version_is_served_replaced_and_a_broken_one_taken_back_without_a_failed_request(here, photograph, note):
    target = here.target(HOST)

    here.given(version("1.0.0"))
    here.wait("pavement", serves("1.0.0"))
    answers.wait_for_route(target)
    found = answers.measurements(target, photograph)
    assert {"totalLengthPixels", "totalAreaPixels", "crackCount"} <= found.keys()
    assert answers.mask(answers.segment(target, photograph, "mask")).shape == (256, 256)

    with constant_load(target, photograph) as rollout:
        rollout.wait_for("1.0.0", 3)
        here.given(version("2.0.0"))
        here.wait("pavement", serves("2.0.0"))
        rollout.wait_for("2.0.0", 3)
    assert rollout.failures == []
    assert set(rollout.answered) == {"1.0.0", "2.0.0"}

    with constant_load(target, photograph) as rollback:
        rollback.wait_for("2.0.0", 3)
        began = time.monotonic()
        here.given(version("3.0.0", "truncated.onnx"))
        taken_back = here.wait("pavement", rolled_back("3.0.0"))
        note("a truncated version taken back", time.monotonic() - began)
        rollback.wait_for("2.0.0", rollback.answered["2.0.0"] + 3)
    assert rollback.failures == []
    assert set(rollback.answered) == {"2.0.0"}

    status = taken_back["status"]
    assert taken_back["spec"]["model"]["version"] == "3.0.0", "the operator must not write spec"
    assert status["stable"]["version"] == "2.0.0"
    assert [(f["version"], f["reason"]) for f in status["failedRevisions"]] == [("3.0.0", "ContractMismatch")]
    assert condition(taken_back, "RolledBack")["status"] == "True"
    assert condition(taken_back, "Stalled")["status"] == "True"
    row = here.kubectl("get", "csm", "pavement").splitlines()[1].split()
    assert row[:5] == ["pavement", "False", "ContractMismatch", "2.0.0", "3.0.0"]

    def told() -> set[str]:
        events = here.kubectl.items("events")
        return {event["reason"] for event in events if event["involvedObject"]["kind"] == "CrackSegModel"}

    wait_until(lambda: {"Promoted", "RolledBack"} <= told(), 60, "the Events, which are posted after the status")

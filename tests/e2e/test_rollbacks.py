"""A version that fails in one way or another while a good one serves: it is taken back, and only asked-for retries retry."""

from __future__ import annotations

import pytest
from tests.e2e.spaces import MODELS, Resource, Space, model, not_ready, space

from crackseg_demo.follow import condition, rolled_back, serves
from crackseg_demo.kubectl import wait_until

SECOND = {
    "image": ("ImagePullFailed", "pavement-2.0.0.onnx", {"image": "crackseg-serving:absent"}, {}),
    "memory": ("OutOfMemory", "memory.onnx", {}, {}),
    "digest": ("DigestMismatch", "pavement-2.0.0.onnx", {}, {"sha256": "1" * 64}),
    "time": ("ReadinessTimeout", "slow-load.onnx", {"resources": {"limits": {"cpu": "200m"}}}, {}),
    "gpu": ("InsufficientGPU", "pavement-2.0.0.onnx", {"gpus": 1}, {}),
}


def version(name: str, number: str, file: str, serving: dict, more: dict):
    return model(
        name,
        model={"uri": f"{MODELS}/{file}", "version": number, **more},
        serving=serving,
        rollout={"progressDeadlineSeconds": 40},
    )


def version_of(pod: Resource) -> str:
    return str(pod["metadata"]["labels"]["crackseg.io/model-version"])


def versions(pods: list[Resource]) -> list[str]:
    """The versions that are to stay: what has been asked to end is on its way."""
    return [version_of(pod) for pod in pods if not pod["metadata"].get("deletionTimestamp")]


@pytest.fixture(scope="module")
def failing(models):
    with space(models, "e2e-rollbacks") as opened:
        for name in SECOND:
            opened.given(version(name, "1.0.0", "pavement-1.0.0.onnx", {}, {}))
        for name in SECOND:
            opened.wait(name, serves("1.0.0"))
        for name, (_, file, serving, more) in SECOND.items():
            opened.given(version(name, "2.0.0", file, serving, more))
        yield opened


@pytest.mark.parametrize("name", SECOND)
def test_a_second_version_that_fails_is_taken_back_with_its_reason(failing: Space, name: str):
    reason = SECOND[name][0]
    seen = failing.wait(name, rolled_back("2.0.0"), 300)

    assert seen["status"]["stable"]["version"] == "1.0.0"
    assert [failed["reason"] for failed in seen["status"]["failedRevisions"]] == [reason]
    assert condition(seen, "Available")["status"] == "True"
    assert condition(seen, "Ready")["reason"] == reason
    wait_until(lambda: versions(failing.pods(name)) == ["1.0.0"], 90, "the failed version's pods are taken away")
    served = [pod for pod in failing.pods(name) if version_of(pod) == "1.0.0"]
    assert [status["restartCount"] for pod in served for status in pod["status"]["containerStatuses"]] == [0]
    weights = [status["stable"]["version"] for status in failing.seen(name).statuses if "stable" in status]
    assert set(weights) == {"1.0.0"}, "the failed version was never the stable one"


def test_a_quarantined_version_is_tried_again_when_a_person_asks(failing: Space):
    before = failing.wait("digest", rolled_back("2.0.0"), 300)["status"]["failedRevisions"][0]["at"]
    failing.kubectl("annotate", "csm", "digest", "crackseg.io/retry=once", "--overwrite")
    failing.wait("digest", lambda seen: seen["status"].get("retried") == "once")

    def failed_again(seen) -> bool:
        failed = seen["status"].get("failedRevisions", [])
        return bool(failed) and failed[0]["at"] > before and rolled_back("2.0.0")(seen)

    failing.wait("digest", failed_again)


def test_a_good_version_after_a_failed_one_is_served(failing: Space):
    failing.wait("image", rolled_back("2.0.0"), 300)
    failing.given(version("image", "2.0.1", "pavement-2.0.0.onnx", {}, {}))
    failing.wait("image", serves("2.0.1"))


def test_a_first_version_that_is_bad_is_healed_by_an_edit(here):
    here.given(model("pavement", "not-onnx.onnx"))
    here.wait("pavement", not_ready("ContractMismatch"))
    here.given(model("pavement", "pavement-1.0.0.onnx", "1.0.1"))
    here.wait("pavement", serves("1.0.1"))


def test_recreate_takes_all_old_pods_away_before_a_new_one_starts(here):
    strategy = {"strategy": "Recreate"}
    here.given(model("pavement", rollout=strategy))
    first = here.wait("pavement", serves("1.0.0"))
    here.given(model("pavement", "pavement-2.0.0.onnx", "2.0.0", rollout=strategy))
    second = here.wait("pavement", serves("2.0.0"))

    assert first["status"]["stable"]["revision"] != second["status"]["stable"]["revision"]
    told = here.seen("pavement").statuses
    assert any(status["readyReplicas"] == 0 and "candidate" in status for status in told), (
        "there was no moment without pods"
    )
    together = [
        s for s in told if s.get("candidate", {}).get("readyReplicas") and s.get("stable", {}).get("readyReplicas")
    ]
    assert together == []

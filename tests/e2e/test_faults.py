"""Each fault that can befall a first version, all at once in one namespace: what `kubectl get csm` says, and how soon."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.e2e.spaces import PATIENCE, STORE, Space, model, not_ready, secret, space

from crackseg_demo.follow import condition
from crackseg_demo.kubectl import wait_until
from crackseg_local import images


@dataclass(frozen=True)
class Fault:
    """A model that cannot become ready, the one word that has to say why, and words that its sentence has to have."""

    name: str
    reason: str
    says: tuple[str, ...] = ()
    file: str = "pavement-1.0.0.onnx"
    parts: dict[str, Any] = field(default_factory=dict)
    seconds: float = PATIENCE


def serving(**parts: Any) -> dict[str, Any]:
    return {"serving": parts}


def uri(address: str, **more: Any) -> dict[str, Any]:
    return {"model": {"uri": address, **more}}


NEVER = {"rollout": {"progressDeadlineSeconds": 15}}
FAULTS = (
    Fault(
        "image-absent", "ImagePullFailed", ("crackseg-serving:absent",), parts=serving(image="crackseg-serving:absent")
    ),
    Fault("image-of-another", "CrashLoop", parts=serving(image=os.environ.get("OPERATOR_IMAGE", images.OPERATOR.name))),
    Fault(
        "memory-too-small",
        "OutOfMemory",
        ("memory",),
        parts=serving(resources={"limits": {"memory": "48Mi"}, "requests": {"memory": "32Mi"}}),
    ),
    Fault("memory-hog", "OutOfMemory", ("memory",), "memory.onnx", serving(resources={"limits": {"memory": "768Mi"}})),
    Fault("no-such-node", "Unschedulable", ("node",), parts=serving(nodeSelector={"crackseg.io/colour": "purple"})),
    Fault("no-gpu", "InsufficientGPU", ("nvidia.com/gpu",), parts=serving(gpus=1)),
    Fault("much-cpu", "InsufficientCPU", ("cpu",), parts=serving(resources={"requests": {"cpu": "500"}})),
    Fault(
        "much-memory",
        "InsufficientMemory",
        ("memory",),
        parts=serving(resources={"requests": {"memory": "5000Gi"}, "limits": {"memory": "5000Gi"}}),
    ),
    Fault("missing", "ModelNotFound", ("404",), "no-such-model.onnx"),
    Fault("no-such-file", "ModelNotFound", parts=uri("file:///nowhere/model.onnx")),
    Fault(
        "needs-a-token", "ModelAccessDenied", ("401",), parts=uri(f"http://vault.{STORE}/private/pavement-1.0.0.onnx")
    ),
    Fault("forbidden", "ModelAccessDenied", ("403",), parts=uri(f"http://vault.{STORE}/forbidden/pavement-1.0.0.onnx")),
    Fault("other-bytes", "DigestMismatch", ("0" * 64,), parts={"model": {"sha256": "0" * 64}}),
    Fault("five-channels", "ContractMismatch", ("channel",), "wrong-channels.onnx"),
    Fault("whole-numbers", "ContractMismatch", ("INT64",), "wrong-type.onnx"),
    Fault("no-onnx", "ContractMismatch", ("ONNX",), "not-onnx.onnx"),
    Fault("git-lfs-pointer", "PointerFile", ("Git LFS",), "pointer.onnx"),
    Fault(
        "loads-for-ever",
        "ReadinessTimeout",
        (),
        "slow-load.onnx",
        {**NEVER, **serving(resources={"limits": {"cpu": "200m"}})},
    ),
    Fault(
        "no-such-secret", "SecretMissing", ("credentials",), parts={"model": {"credentialsSecretName": "credentials"}}
    ),
    Fault("unreachable", "ModelDownloadFailed", parts=uri("http://nobody.invalid/model.onnx"), seconds=400),
)


@pytest.fixture(scope="module")
def everything_wrong(models):
    with space(models, "e2e-faults") as opened:
        for fault in FAULTS:
            opened.given(model(fault.name, fault.file, **fault.parts))
        yield opened


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.name} says {fault.reason}")
def test_a_first_version_that_cannot_start_says_why(everything_wrong: Space, fault: Fault, note):
    seen = everything_wrong.wait(fault.name, not_ready(fault.reason), fault.seconds)
    ready = condition(seen, "Ready")

    assert ready["message"].rstrip().endswith("."), "the reason comes with a sentence"
    for word in fault.says:
        assert word in ready["message"]

    def row() -> list[str]:
        return everything_wrong.kubectl("get", "csm", fault.name).splitlines()[1].split()[:3]

    wait_until(lambda: row() == [fault.name, ready["status"], fault.reason], 60, "kubectl shows it")
    note(f"{fault.reason} ({fault.name})", everything_wrong.seen(fault.name).reasons[fault.reason])


def test_a_quota_without_room_says_so(here, note):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small"},
        "spec": {"hard": {"pods": "0"}},
    }
    here.given(quota)
    here.given(model("crowded"))
    here.wait("crowded", not_ready("QuotaExceeded"))
    note("QuotaExceeded", here.seen("crowded").reasons["QuotaExceeded"])


def test_an_object_of_somebody_else_is_left_alone_and_named(here):
    theirs = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "taken", "labels": {"owner": "somebody"}},
        "spec": {"ports": [{"port": 1}]},
    }
    here.given(theirs)
    before = here.kubectl.find("service", "taken")
    here.given(model("taken"))
    seen = here.wait("taken", not_ready("NameConflict"))
    assert "taken" in condition(seen, "Ready")["message"]
    assert here.kubectl.find("service", "taken") == before


def test_a_secret_that_comes_later_heals_the_model(here):
    here.given(model("later", model={"credentialsSecretName": "credentials"}))
    here.wait("later", not_ready("SecretMissing"))
    here.given(secret("credentials", HTTP_BEARER_TOKEN="any"))
    here.wait("later", lambda seen: condition(seen, "Ready").get("status") == "True")

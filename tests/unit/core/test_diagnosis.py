"""From what a cluster shows to the one word and the sentence."""

from __future__ import annotations

import pytest
from tests.unit.core.kubernetes import (
    INITIALIZING,
    Raw,
    containers_ready,
    ended,
    fetch,
    raw_model,
    raw_pod,
    ready,
    reported,
    serving,
    unschedulable,
    waiting,
)

from crackseg_operator.core.diagnosis import diagnose, timeout
from crackseg_operator.core.findings import Finding, Patience
from crackseg_operator.core.observe import observe
from crackseg_operator.core.observed import ObservedDeployment, ObservedPod, Refusal

AT_ONCE, SHORTLY, LATE = Patience.NONE, Patience.SHORT, Patience.LONG

#: What containerd and the kubelet really say.
NOT_FOUND = (
    'Back-off pulling image "registry.example/serving:9": ErrImagePull: rpc error: code = NotFound desc = failed to pull'
    ' and unpack image "registry.example/serving:9": failed to resolve reference: registry.example/serving:9: not found'
)
UNAUTHORIZED = 'Back-off pulling image "p/s:1": ErrImagePull: failed to authorize: unexpected status: 401 Unauthorized'
NO_GPU = (
    "0/2 nodes are available: 2 Insufficient nvidia.com/gpu. preemption: 0/2 nodes are available: "
    "2 No preemption victims found for incoming pod."
)
NO_CPU = (
    "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: 0/2 nodes are available."
)
NO_MEMORY = "0/2 nodes are available: 1 Insufficient cpu, 2 Insufficient memory. preemption: none."
NO_LABEL = "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. preemption: none."
NO_CLAIM = '0/2 nodes are available: persistentvolumeclaim "models" not found. preemption: 0/2 nodes are available.'


def pods(*raws: Raw) -> tuple[ObservedPod, ...]:
    return observe(raw_model(), {}, raws, {}).pods


def with_init(container: Raw) -> Raw:
    return raw_pod(initContainerStatuses=[container], containerStatuses=[INITIALIZING])


def with_server(container: Raw, **status: object) -> Raw:
    done = {**fetch(state=ended(0, "Completed")), "ready": True}
    return raw_pod(phase="Running", initContainerStatuses=[done], containerStatuses=[container], **status)


CAUSES = [
    pytest.param(
        with_init(fetch(state=waiting("ErrImagePull", "rpc error: not found"))),
        ("ImagePullFailed", LATE, "does not exist"),
        id="one failed pull may be a hiccup",
    ),
    pytest.param(
        with_init(fetch(state=waiting("ImagePullBackOff", NOT_FOUND))),
        (
            "ImagePullFailed",
            AT_ONCE,
            "Image serving:1 of pod pavement-aaaaaaaaaa-x cannot be pulled: it does not exist",
        ),
        id="an image that is not there",
    ),
    pytest.param(
        with_init(fetch(state=waiting("ImagePullBackOff", UNAUTHORIZED))),
        ("ImagePullFailed", AT_ONCE, "access is denied"),
        id="an image that may not be pulled",
    ),
    pytest.param(
        with_init(fetch(state=waiting("InvalidImageName", "couldn't parse image name"))),
        ("ImagePullFailed", AT_ONCE, "the name is not valid"),
        id="an image name that is none",
    ),
    pytest.param(
        with_init(fetch(state=waiting("ErrImageNeverPull", "not present with pull policy of Never"))),
        ("ImagePullFailed", AT_ONCE, "cannot be pulled"),
        id="an image that is not on the node and may not be pulled",
    ),
    *(
        pytest.param(
            with_init(fetch(state=reported(reason))),
            (reason, AT_ONCE, f"It is so (container fetch of pod pavement-aaaaaaaaaa-x); {remedy}"),
            id=f"the download reports {reason}",
        )
        for reason, remedy in (
            ("ModelNotFound", "check spec.model.uri"),
            ("ModelAccessDenied", "check the Secret"),
            ("DigestMismatch", "check spec.model.sha256"),
            ("PointerFile", "upload the model itself"),
        )
    ),
    pytest.param(
        with_init(fetch(state=reported("ModelDownloadFailed"))),
        ("ModelDownloadFailed", LATE, "It is so"),
        id="a first failed download may be a hiccup",
    ),
    pytest.param(
        with_init(fetch(2, state=waiting("CrashLoopBackOff"), lastState=reported("ModelDownloadFailed"))),
        ("ModelDownloadFailed", AT_ONCE, "check that the pods can reach the host"),
        id="the third failed download is none",
    ),
    pytest.param(
        with_init(fetch(1, state={"running": {}}, lastState=reported("ModelNotFound"))),
        ("ModelNotFound", AT_ONCE, "It is so"),
        id="the last report counts while the next try runs",
    ),
    pytest.param(
        with_server(serving(1, state=waiting("CrashLoopBackOff"), lastState=reported("ContractMismatch"))),
        ("ContractMismatch", AT_ONCE, "check that the file is a segmentation model"),
        id="the server reports a model that it cannot run",
    ),
    pytest.param(
        with_server(serving(state=reported("ProviderFallback"))),
        ("ProviderFallback", AT_ONCE, "check the node's driver"),
        id="the server reports that it got no GPU",
    ),
    pytest.param(
        with_server(serving(1, state={"running": {}}, lastState=ended(137, "OOMKilled"))),
        ("OutOfMemory", AT_ONCE, "raise spec.serving.resources.limits.memory"),
        id="killed for its memory",
    ),
    pytest.param(
        with_server(serving(1, state=waiting("CrashLoopBackOff"), lastState=ended(2))),
        ("CrashLoop", AT_ONCE, "Container serving of pod pavement-aaaaaaaaaa-x ends again and again (exit code 2)"),
        id="a crash with back-off",
    ),
    pytest.param(
        with_server(serving(2, state={"running": {}}, lastState=ended(139))),
        ("CrashLoop", AT_ONCE, "kubectl logs pavement-aaaaaaaaaa-x -c serving --previous"),
        id="two crashes, and running again",
    ),
    pytest.param(
        with_server(serving(2, state={"running": {}}, lastState=ended(0, "Completed"))),
        ("CrashLoop", AT_ONCE, "exit code 0"),
        id="a server that ends without an error is in a loop too",
    ),
    pytest.param(
        with_init(fetch(state=waiting("CreateContainerConfigError", 'secret "model-store" not found'))),
        ("SecretMissing", SHORTLY, 'secret "model-store" not found; create it in the same namespace'),
        id="a Secret that is not there",
    ),
    pytest.param(
        with_init(fetch(state=waiting("RunContainerError", "exec: python: not found"))),
        ("CrashLoop", SHORTLY, "check that spec.serving.image is a serving image"),
        id="an image that is something else",
    ),
    pytest.param(
        raw_pod(conditions=[unschedulable(NO_GPU)]),
        ("InsufficientGPU", SHORTLY, "2 Insufficient nvidia.com/gpu; add a node with a free GPU"),
        id="no free GPU",
    ),
    pytest.param(
        raw_pod(conditions=[unschedulable(NO_MEMORY)]),
        ("InsufficientMemory", SHORTLY, "lower spec.serving.resources"),
        id="no memory, and no CPU on one node",
    ),
    pytest.param(
        raw_pod(conditions=[unschedulable(NO_CPU)]),
        ("InsufficientCPU", SHORTLY, "2 Insufficient cpu"),
        id="no CPU",
    ),
    pytest.param(
        raw_pod(conditions=[unschedulable(NO_LABEL)]),
        ("Unschedulable", SHORTLY, "check spec.serving.nodeSelector and tolerations"),
        id="no node with the label",
    ),
    pytest.param(
        raw_pod(conditions=[unschedulable(NO_CLAIM)]),
        ("ModelNotFound", SHORTLY, "PersistentVolumeClaim models does not exist"),
        id="a claim that is not there",
    ),
    pytest.param(
        with_server(serving(state={"running": {}}), conditions=[ready(holds=False), containers_ready(holds=True)]),
        ("NodeLost", LATE, "The node node-1 of pod pavement-aaaaaaaaaa-x does not answer"),
        id="a node that does not answer: the pod is unready, its containers are as they were",
    ),
]


@pytest.mark.parametrize(("raw", "expected"), CAUSES)
def test_a_pod_shows_its_cause(raw: Raw, expected: tuple[str, Patience, str]) -> None:
    reason, patience, text = expected
    finding = diagnose(None, pods(raw))
    assert finding is not None
    assert (finding.reason, finding.patience) == (reason, patience)
    assert text in finding.message
    assert finding.message.endswith(".")


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(raw_pod(), id="just created"),
        pytest.param(with_init(fetch(state={"running": {}})), id="fetching"),
        pytest.param(with_server(serving(state={"running": {}})), id="loading"),
        pytest.param(with_server(serving(1, state={"running": {}}, lastState=ended(1))), id="one crash without a word"),
        pytest.param(
            with_server(
                serving(7, state={"running": {}}, lastState=ended(1)),
                conditions=[ready(holds=True), containers_ready(holds=True)],
            ),
            id="ready after crashes of the past",
        ),
        pytest.param(raw_pod(deleting=True, conditions=[unschedulable(NO_CPU)]), id="ending"),
        pytest.param(raw_pod(phase="Failed", reason="Evicted", initContainerStatuses=[fetch(9)]), id="evicted"),
    ],
)
def test_a_pod_on_its_way_shows_none(raw: Raw) -> None:
    assert diagnose(None, pods(raw)) is None


def test_a_candidate_that_was_killed_for_its_memory_is_not_forgiven_when_it_is_ready_again() -> None:
    back = with_server(
        {**serving(1, state={"running": {}}, lastState=ended(137, "OOMKilled")), "ready": True},
        conditions=[ready(holds=True), containers_ready(holds=True)],
    )
    assert diagnose(None, pods(back)) is None
    finding = diagnose(None, pods(back), on_trial=True)
    assert finding is not None
    assert finding.reason == "OutOfMemory"


def deployment(failure: str) -> ObservedDeployment:
    return ObservedDeployment("pavement-a", "a", "1", 1, 0, 0, settled=True, replica_failure=failure)


@pytest.mark.parametrize(
    ("failure", "expected", "text"),
    [
        pytest.param(
            'pods "pavement-a-6c7-x8z2q" is forbidden: exceeded quota: small, requested: pods=1, used: pods=4, limited: pods=4',
            "QuotaExceeded",
            "No pod can be created: exceeded quota: small, requested: pods=1, used: pods=4, limited: pods=4; raise the quota",
            id="a quota",
        ),
        pytest.param(
            'pods "pavement-a-6c7-x8z2q" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi',
            "ApplyRejected",
            "No pod can be created: maximum memory usage per Container is 1Gi, but limit is 2Gi.",
            id="a limit range",
        ),
    ],
)
def test_pods_that_cannot_be_created(failure: str, expected: str, text: str) -> None:
    finding = diagnose(deployment(failure), ())
    assert finding is not None
    assert (finding.reason, finding.patience) == (expected, SHORTLY)
    assert text in finding.message
    assert "x8z2q" not in finding.message, "the name changes with every try, and status with it"


def test_a_claim_for_engines_that_is_not_there_is_no_fault_of_the_model() -> None:
    finding = diagnose(None, pods(raw_pod(conditions=[unschedulable(NO_CLAIM)])), engine_claim="models")
    assert finding is not None
    assert finding.reason == "Unschedulable"
    assert finding.message.endswith("create it, or correct spec.serving.engineCacheClaimName.")


def test_a_service_account_that_is_not_there_yet_is_no_cause() -> None:
    assert (
        diagnose(deployment('error looking up service account roads/pavement: serviceaccount "pavement" not found'), ())
        is None
    )


@pytest.mark.parametrize(
    ("reason", "expected", "patience"),
    [
        ("NameConflict", "NameConflict", LATE),
        ("QuotaExceeded", "QuotaExceeded", SHORTLY),
        ("ApplyRejected", "ApplyRejected", AT_ONCE),
        ("SomethingNew", "ApplyRejected", AT_ONCE),
    ],
)
def test_a_refused_deployment_is_a_cause(reason: str, expected: str, patience: Patience) -> None:
    assert diagnose(None, (), Refusal(reason, "It says no")) == Finding(patience, expected, "It says no.")  # type: ignore[arg-type]


def test_the_most_certain_of_several_causes_is_told() -> None:
    several = pods(
        raw_pod(name="pavement-a", conditions=[unschedulable(NO_CPU)]),
        {**with_init(fetch(state=reported("DigestMismatch"))), "metadata": {**raw_pod(name="z")["metadata"]}},
    )
    finding = diagnose(None, several)
    assert finding is not None
    assert finding.reason == "DigestMismatch"


def test_time_that_is_up_names_a_pod_to_look_at() -> None:
    told = timeout(pods(with_server(serving(state={"running": {}}))), wanted=2, seconds=600)
    assert told.reason == "ReadinessTimeout"
    assert told.message.startswith(
        "0 of 2 pods became ready within 600 s: pod pavement-aaaaaaaaaa-x does not become ready"
    )

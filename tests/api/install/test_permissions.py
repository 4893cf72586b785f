"""What the installed roles allow and refuse, asked of a real API server."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from crackseg_local.controlplane import ControlPlane
from crackseg_local.errors import LocalClusterError

pytestmark = pytest.mark.api

ROOT = Path(__file__).parents[3]
OPERATOR = "system:serviceaccount:crackseg-system:crackseg-operator"
MODELS = "cracksegmodels.crackseg.io"

#: "VERB RESOURCE.GROUP/SUBRESOURCE NAMESPACE", as a sentence of what is asked.
CHILDREN = [
    f"{verb} {resource} team"
    for verb in ("list", "watch", "create", "patch", "delete")
    for resource in (
        "deployments.apps",
        "services",
        "serviceaccounts",
        "ingresses.networking.k8s.io",
        "networkpolicies.networking.k8s.io",
        "horizontalpodautoscalers.autoscaling",
        "poddisruptionbudgets.policy",
    )
]
ALLOWED = [
    *CHILDREN,
    f"watch {MODELS} team",
    f"patch {MODELS}/status team",
    "list pods team",
    "create events.events.k8s.io team",
    "create leases.coordination.k8s.io crackseg-system",
    "update leases.coordination.k8s.io crackseg-system",
]
REFUSED = [
    "get secrets team",
    "list secrets crackseg-system",
    "get configmaps team",
    f"patch {MODELS} team",
    f"delete {MODELS} team",
    "create pods team",
    "create pods/exec team",
    "delete pods team",
    "list nodes -",
    "create namespaces -",
    "create roles.rbac.authorization.k8s.io team",
    "update customresourcedefinitions.apiextensions.k8s.io -",
    "create serviceaccounts/token team",
    "update leases.coordination.k8s.io team",
]


@pytest.fixture(scope="module")
def installed(plane: ControlPlane) -> ControlPlane:
    plane.kubectl("apply", "--server-side", "-k", str(ROOT / "deploy" / "kustomize"))
    plane.kubectl("create", "namespace", "team")
    return plane


def allowed(plane: ControlPlane, user: str, questions: list[str]) -> list[str]:
    """Those of the questions that the API server answers with yes."""
    reviews = [json.dumps(_review(user, *question.split())) for question in questions]
    answers = plane.kubectl("create", "-f", "-", "--output=json", stdin="\n---\n".join(reviews))
    decoder, verdicts, at = json.JSONDecoder(), [], 0
    while at < len(answers):
        answer, end = decoder.raw_decode(answers, at)
        verdicts += [item["status"]["allowed"] for item in answer.get("items", [answer])]
        at = end + len(answers[end:]) - len(answers[end:].lstrip())
    return [question for question, verdict in zip(questions, verdicts, strict=True) if verdict]


def _review(user: str, verb: str, resource: str, namespace: str) -> dict[str, object]:
    resource, _, subresource = resource.partition("/")
    name, _, group = resource.partition(".")
    asked = {"verb": verb, "resource": name, "group": group, "subresource": subresource}
    asked |= {"namespace": namespace.strip("-"), "name": "crackseg-operator" if name == "leases" else ""}
    spec = {"user": user, "groups": ["system:authenticated"], "resourceAttributes": asked}
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}


def test_the_operator_may_do_all_that_it_does(installed: ControlPlane):
    _await(installed, OPERATOR, ALLOWED, ALLOWED)


def test_the_operator_may_not_do_more(installed: ControlPlane):
    _await(installed, OPERATOR, ALLOWED + REFUSED, ALLOWED)


def test_the_built_in_roles_cover_models(installed: ControlPlane):
    reading = [f"get {MODELS} team", f"watch {MODELS} team", f"get {MODELS}/scale team"]
    writing = [f"create {MODELS} team", f"patch {MODELS} team", f"delete {MODELS} team", f"patch {MODELS}/scale team"]
    never = [f"patch {MODELS}/status team"]
    for role, may in (("view", reading), ("edit", reading + writing), ("admin", reading + writing)):
        installed.kubectl("create", "rolebinding", role, f"--clusterrole={role}", f"--user={role}", "--namespace=team")
        _await(installed, role, reading + writing + never, may)


def _await(plane: ControlPlane, user: str, questions: list[str], expected: list[str]) -> None:
    """Wait until these are allowed and no others: the API server, and who adds to built-in roles, learn of rules a bit later."""
    deadline = time.monotonic() + 120
    while (found := allowed(plane, user, questions)) != expected:
        assert time.monotonic() < deadline, f"{user} may {found}, and should {expected}"
        time.sleep(0.2)


def test_the_operator_of_one_namespace_may_nothing_elsewhere(installed: ControlPlane, kustomize):
    installed.kubectl("create", "namespace", "alone")
    documents = [document for document in kustomize("namespaced") if document["kind"] != "CustomResourceDefinition"]
    for document in documents:
        if "namespace" in document["metadata"]:
            document["metadata"]["namespace"] = "alone"
        for subject in document.get("subjects", ()):
            subject["namespace"] = "alone"
    installed.kubectl("apply", "--server-side", "-f", "-", stdin="\n---\n".join(map(json.dumps, documents)))
    asked = [
        f"{what} {where}" for where in ("alone", "team") for what in ("create deployments.apps", f"watch {MODELS}")
    ]
    _await(installed, "system:serviceaccount:alone:crackseg-operator", asked, asked[:2])


def test_the_rendered_objects_are_accepted_with_nothing_dropped(installed: ControlPlane, helm):
    documents = helm("replicas=2", "networkPolicy.enabled=true", "crds.install=false", "watch=OwnNamespace")
    everything = "\n---\n".join(map(json.dumps, documents))
    options = ("--dry-run=server", "--server-side", "--force-conflicts", "--validate=strict")
    assert installed.kubectl("apply", *options, "-f", "-", stdin=everything).count("serverside-applied") == len(
        documents
    )


def test_the_operators_pod_fits_a_namespace_that_enforces_the_restricted_standard(installed: ControlPlane):
    command = ("get", "deployment", "crackseg-operator", "--namespace=crackseg-system", "--output=json")
    template = json.loads(installed.kubectl(*command))["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "trial"}, "spec": template["spec"]}
    create = ("create", "--dry-run=server", "--namespace=crackseg-system", "-f", "-")
    assert "created" in installed.kubectl(*create, stdin=json.dumps(pod))
    del pod["spec"]["containers"][0]["securityContext"]
    with pytest.raises(LocalClusterError, match='violates PodSecurity "restricted'):
        installed.kubectl(*create, stdin=json.dumps(pod))

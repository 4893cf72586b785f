"""The life of a CrackSegModel and its children under the hands of people: scale, edit, delete, explain."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from tests.e2e.spaces import Space, model, space

from crackseg_demo import answers
from crackseg_demo.follow import condition, serves
from crackseg_demo.kubectl import wait_until
from crackseg_local import addresses

HOST = "life.e2e.localhost"


@pytest.fixture(scope="module")
def served(models):
    with space(models, "e2e-resources") as opened:
        opened.given(model("pavement", replicas=2, exposure={"host": HOST}))
        opened.wait("pavement", serves("1.0.0"))
        yield opened


def deployment(served: Space) -> dict:
    (found,) = served.kubectl.items("deployments")
    return found


def repaired(served: Space, kind: str, name: str, before: dict, what: str) -> None:
    """Wait until the object's spec is again as it was."""

    def holds() -> bool:
        now = served.kubectl.find(kind, name)
        return (
            now is not None
            and now["spec"] == before["spec"]
            and now["metadata"]["labels"] == before["metadata"]["labels"]
        )

    wait_until(holds, 90, what)


def test_kubectl_wait_and_get_know_a_ready_model(served: Space):
    served.kubectl("wait", "--for=condition=Ready", "csm/pavement", "--timeout=60s")
    header, row = served.kubectl("get", "csm", "pavement").splitlines()
    assert header.split() == ["NAME", "READY", "REASON", "VERSION", "TARGET", "WEIGHT", "REPLICAS", "AGE"]
    assert row.split()[:5] == ["pavement", "True", "Serving", "1.0.0", "1.0.0"]
    wide = served.kubectl("get", "csm", "pavement", "--output=wide").splitlines()[1]
    assert "Rolling" in wide
    assert f"http://{HOST}" in wide
    assert "csm" in served.kubectl("api-resources", "--api-group=crackseg.io")


def test_kubectl_explain_reads_as_documentation(served: Space):
    text = served.kubectl("explain", "csm.spec.rollout.progressDeadlineSeconds")
    assert "in seconds" in text
    assert "<no description>" not in served.kubectl("explain", "csm", "--recursive")


def test_kubectl_scale_changes_the_number_of_pods_and_no_revision(served: Space):
    before = served.wait("pavement", serves("1.0.0"))["status"]["stable"]["revision"]
    served.kubectl("scale", "csm", "pavement", "--replicas=3")
    three = served.wait("pavement", lambda seen: serves("1.0.0")(seen) and seen["status"]["readyReplicas"] == 3)
    assert three["status"]["stable"]["revision"] == before
    served.kubectl("scale", "csm", "pavement", "--replicas=2")
    served.wait("pavement", lambda seen: serves("1.0.0")(seen) and seen["status"]["replicas"] == 2)


def test_the_children_are_there_and_belong_to_the_model(served: Space):
    revision = served.wait("pavement", serves("1.0.0"))["status"]["stable"]["revision"]
    kinds = ("Ingress", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount")
    assert served.children("pavement") == sorted(
        [f"Deployment/pavement-{revision}", *(f"{kind}/pavement" for kind in kinds)]
    )
    budget = served.kubectl.find("pdb", "pavement")
    assert budget is not None
    wait_until(
        lambda: (served.kubectl.find("pdb", "pavement") or {})["status"].get("expectedPods") == 2,
        90,
        "the budget counts the pods",
    )


def test_an_edit_by_hand_is_taken_back(served: Space):
    before = deployment(served)
    name = before["metadata"]["name"]
    subprocess.run(
        served.kubectl.command("edit", "deployment", name),
        env={
            **os.environ,
            "KUBE_EDITOR": "sed -i s/terminationGracePeriodSeconds:.*/terminationGracePeriodSeconds:\\ 7/",
        },
        capture_output=True,
        check=True,
    )
    repaired(served, "deployment", name, before, "the edited Deployment is as it was")


@pytest.mark.parametrize("kind", ["deployment", "service", "ingress", "networkpolicy", "pdb", "serviceaccount"])
def test_a_deleted_child_comes_back(served: Space, kind: str):
    name = deployment(served)["metadata"]["name"] if kind == "deployment" else "pavement"
    before = served.kubectl.json("get", kind, name)
    served.kubectl("delete", kind, name, "--wait=false")

    def back() -> bool:
        now = served.kubectl.find(kind, name)
        return now is not None and now["metadata"]["uid"] != before["metadata"]["uid"]

    wait_until(back, 90, f"the {kind} is there again")
    served.wait("pavement", serves("1.0.0"))


def test_a_selector_turned_elsewhere_is_turned_back(served: Space):
    before = served.kubectl.json("get", "service", "pavement")
    served.kubectl(
        "patch", "service", "pavement", "--type=merge", "--patch", json.dumps({"spec": {"selector": {"app": "other"}}})
    )
    wait_until(
        lambda: (served.kubectl.find("service", "pavement") or {})["spec"]["selector"] == before["spec"]["selector"],
        90,
        "the Service selects the model's pods again",
    )


def test_a_deleted_model_takes_its_children_with_it(here):
    here.given(model("short", exposure={"host": "short.e2e.localhost"}))
    here.wait("short", serves("1.0.0"))
    here.kubectl("delete", "csm", "short", "--timeout=90s")
    wait_until(lambda: here.children("short") == [] and here.pods("short") == [], 90, "the children are gone")


def test_a_model_applied_and_deleted_at_once_leaves_nothing(here):
    here.given(model("blink"))
    here.kubectl("delete", "csm", "blink", "--timeout=90s")
    wait_until(lambda: here.children("blink") == [] and here.pods("blink") == [], 90, "nothing is left")


def test_a_host_is_served_with_its_own_certificate(served: Space, photograph: bytes, tmp_path: Path):
    if addresses.INGRESS_ADDRESS not in served.cluster.ingress:
        pytest.skip("needs the local cluster: the Ingress' port 443 is reached at its own address")
    host, key, certificate = "tls.e2e.localhost", tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"]
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-keyout",
        key,
        "-out",
        certificate,
    ]
    subprocess.run([*make, *subject], check=True, capture_output=True)
    served.kubectl("create", "secret", "tls", "own-certificate", f"--cert={certificate}", f"--key={key}")
    served.given(model("secured", exposure={"host": host, "tls": {"secretName": "own-certificate"}}))
    seen = served.wait("secured", serves("1.0.0"))
    assert seen["status"]["url"] == f"https://{host}"

    context = ssl.create_default_context(cafile=certificate)

    def answered() -> int:
        address = served.cluster.ingress.removeprefix("http://")
        with (
            socket.create_connection((address, 443), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            connection = http.client.HTTPSConnection(host)
            connection.sock = secured
            connection.request("POST", "/v1/segment", photograph, {"Content-Type": "image/jpeg"})
            with connection.getresponse() as answer:
                return answer.status

    def certified() -> bool:
        try:
            return answered() == 200
        except ssl.SSLCertVerificationError:
            return False  # the Ingress controller has its own certificate until it has read ours

    wait_until(certified, 60, "the host answers with its own certificate")


def test_the_mask_is_still_right_after_all_this(served: Space, photograph: bytes):
    target = served.target(HOST)
    answers.wait_for_route(target)
    assert answers.mask(answers.segment(target, photograph, "mask")).any()
    assert condition(served.wait("pavement", serves("1.0.0")), "Available")["status"] == "True"

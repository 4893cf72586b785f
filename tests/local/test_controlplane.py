"""The control plane alone: real etcd, API server and controllers on loopback, many side by side."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from crackseg_local import audit, controlplane, processes
from crackseg_local.controlplane import ControlPlane
from crackseg_local.errors import LocalClusterError

pytestmark = pytest.mark.api
DEADLINE = 90.0  # seconds
OPERATOR = "system:serviceaccount:crackseg-system:crackseg-operator"
OWNER = """\
import sys
from crackseg_local.controlplane import ControlPlane
with ControlPlane(controllers=False) as plane:
    print(plane.folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def plane():
    with ControlPlane(nodes=1) as running:
        yield running


def kubectl_as(plane, kubeconfig, *arguments):
    command = [plane.bin / "kubectl", f"--kubeconfig={kubeconfig}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_account_has_its_name_and_only_its_rights(plane):
    account = plane.service_account_kubeconfig("crackseg-system", "crackseg-operator")
    assert OPERATOR in kubectl_as(plane, account, "auth", "whoami").stdout
    refused = kubectl_as(plane, account, "create", "configmap", "one")
    assert "cannot create resource" in refused.stderr
    plane.kubectl("create", "clusterrolebinding", "operator-edits", "--clusterrole=edit", f"--user={OPERATOR}")
    allowed = processes.wait_until(
        lambda: kubectl_as(plane, account, "create", "configmap", "two").returncode == 0, DEADLINE
    )
    assert allowed


def test_a_user_is_known_by_certificate_and_group(plane):
    plane.kubectl("create", "clusterrolebinding", "team-views", "--clusterrole=view", "--group=team")
    alice = plane.user_kubeconfig("alice", ["team"])
    assert processes.wait_until(lambda: kubectl_as(plane, alice, "get", "configmaps").returncode == 0, DEADLINE)
    assert kubectl_as(plane, alice, "get", "secrets").returncode != 0


def test_the_audit_log_has_every_write_and_who_did_it(plane):
    bob = plane.user_kubeconfig("bob", ["system:masters"])
    kubectl_as(plane, bob, "create", "namespace", "counted")
    kubectl_as(plane, bob, "create", "configmap", "settings", "--namespace=counted")
    kubectl_as(plane, bob, "get", "configmaps", "--namespace=counted")
    kubectl_as(plane, bob, "auth", "can-i", "get", "pods")
    kubectl_as(plane, bob, "delete", "configmap", "settings", "--namespace=counted")
    # The last line may be written after its request was answered.
    assert processes.wait_until(lambda: len(plane.writes(user="bob")) >= 3, DEADLINE)
    seen = [(w.verb, w.resource, w.name, w.code) for w in plane.writes(user="bob")]
    assert seen == [
        ("create", "namespaces", "counted", 201),
        ("create", "configmaps", "settings", 201),
        ("delete", "configmaps", "settings", 200),
    ]
    assert [w.namespace for w in plane.writes(user="bob")][1:] == ["counted", "counted"]


def test_reading_a_secret_is_in_the_log_and_is_no_write(plane):
    carol = plane.user_kubeconfig("carol", ["system:masters"])
    kubectl_as(plane, carol, "get", "secrets")
    kubectl_as(plane, carol, "get", "configmaps")

    def seen() -> list[tuple[str, str]]:
        return [(r.verb, r.resource) for r in audit.requests(plane.audit_log) if r.user == "carol"]

    assert processes.wait_until(lambda: seen() != [], DEADLINE)
    assert seen() == [("list", "secrets")]
    assert plane.writes(user="carol") == []


def test_simulated_nodes_run_pods(plane):
    plane.kubectl("create", "deployment", "simulated", "--image=none", "--replicas=20")
    plane.kubectl("rollout", "status", "deployment/simulated", "--timeout=180s")
    pods = json.loads(plane.kubectl("get", "pods", "--selector=app=simulated", "--output=json"))["items"]
    assert {pod["status"]["phase"] for pod in pods} == {"Running"}
    assert len(pods) == 20


def test_objects_and_address_outlive_the_api_server(plane):
    plane.kubectl("create", "configmap", "kept")
    before = plane.url
    plane.stop_apiserver()
    with pytest.raises(LocalClusterError):
        plane.kubectl("get", "configmap", "kept", "--request-timeout=1s")
    plane.start_apiserver()
    assert plane.url == before
    assert "kept" in plane.kubectl("get", "configmap", "kept")


def test_two_stand_side_by_side_and_leave_nothing(plane):
    with ControlPlane(controllers=False) as other:
        other.kubectl("create", "namespace", "only-here")
        assert "only-here" not in plane.kubectl("get", "namespaces")
        folder = other.folder
    assert not folder.exists()
    assert processes.find_all(folder) == []


def test_what_a_killed_owner_left_is_removed_by_the_next():
    path = os.pathsep.join(sys.path)
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    with owner:
        folder = Path(owner.stdout.readline().strip())
        assert len(processes.find_all(folder)) == 2
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    assert len(processes.find_all(folder)) == 2, "they live on: nobody was left to stop them"
    controlplane.remove_abandoned()
    assert processes.find_all(folder) == []
    assert not folder.exists()

"""A real API server with the CRD, shared by the tests of this folder, and a client that shows its words unchanged."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crackseg_local.controlplane import ControlPlane
from crackseg_local.errors import LocalClusterError

CRD = Path(__file__).parents[3] / "crds" / "crackseg.io_cracksegmodels.yaml"
MINIMAL = {"model": {"uri": "s3://models/pavement/7.0.0/model.onnx", "version": "7.0.0"}}


class Refused(Exception):  # noqa: N818 - it is what the tests expect
    """The API server said no; the text is its message."""


class Client:
    """Sends a CrackSegModel as it is and gives back the API server's answer as it is."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        binding = "kubectl create clusterrolebinding tester --clusterrole=cluster-admin --serviceaccount=default:tester"
        plane.kubectl(*binding.split()[1:])
        config = json.loads(plane.service_account_kubeconfig("default", "tester").read_text())
        self._token = config["users"][0]["user"]["token"]
        self._ssl = ssl.create_default_context(cafile=str(plane.folder / "pki" / "ca.crt"))
        _await(lambda: self.create(MINIMAL), Refused)  # the API server learns of the binding a bit after its creation

    def create(self, spec: Any, *, name: str = "pavement", dry: bool = True) -> dict[str, Any]:
        body = {
            "apiVersion": "crackseg.io/v1alpha1",
            "kind": "CrackSegModel",
            "metadata": {"name": name},
            "spec": spec,
        }
        query = "?fieldValidation=Strict" + ("&dryRun=All" if dry else "")
        return self._send("POST", f"/apis/crackseg.io/v1alpha1/namespaces/default/cracksegmodels{query}", body)

    def _send(self, method: str, path: str, body: Any) -> dict[str, Any]:
        request = urllib.request.Request(
            self.plane.url + path,
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, context=self._ssl) as answer:
                result: dict[str, Any] = json.load(answer)
                return result
        except urllib.error.HTTPError as refusal:
            with refusal:
                raise Refused(json.load(refusal)["message"]) from None


@pytest.fixture(scope="session")
def crd_plane() -> Iterator[ControlPlane]:
    with ControlPlane(controllers=False) as plane:
        plane.kubectl("apply", "-f", str(CRD))
        plane.wait_for_api("crackseg.io/v1alpha1")
        # Short names and descriptions are published soon after it is Established.
        _await(lambda: plane.kubectl("explain", "csm.spec"), LocalClusterError)
        yield plane


def _await(done: Callable[[], Any], not_yet: type[Exception]) -> None:
    """Wait until this is possible."""
    deadline = time.monotonic() + 120
    while True:
        try:
            done()
        except not_yet:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


@pytest.fixture(scope="session")
def client(crd_plane: ControlPlane) -> Client:
    return Client(crd_plane)

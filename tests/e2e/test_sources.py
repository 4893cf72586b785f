"""Models from every kind of place, with and without the right to read them, on real pods."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.spaces import STORE, Space, model, not_ready, secret

from crackseg_demo.follow import condition, serves
from crackseg_demo.kubectl import wait_until
from crackseg_demo.story import SAMPLES
from crackseg_local import addresses, programs, volumes
from crackseg_local import cluster as local
from crackseg_local.controlplane import free_port
from crackseg_local.errors import LocalClusterError

MODEL = SAMPLES / "pavement-1.0.0.onnx"


def local_only(space: Space) -> None:
    if addresses.INGRESS_ADDRESS not in space.cluster.ingress:
        pytest.skip("needs the local cluster: its pods reach programs and folders of this machine")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3 store on the host's side of the cluster's network: bucket `models` with one model; keys alice/wonderland."""
    try:
        program = programs.ensure(["versitygw"]) / "versitygw"
    except LocalClusterError as error:
        pytest.skip(f"needs versitygw, an S3 store: {error}")
    folder = tmp_path_factory.mktemp("s3")
    (folder / "models" / "pavement").mkdir(parents=True)
    shutil.copy(MODEL, folder / "models" / "pavement" / "model.onnx")
    port = free_port()
    address = f"{addresses.HOST_ADDRESS}:{port}"
    keys = ["--access", "alice", "--secret", "wonderland"]
    server = subprocess.Popen(
        [program, *keys, "--port", address, "posix", folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def answers() -> bool:
        with socket.socket() as knock:
            return knock.connect_ex((addresses.HOST_ADDRESS, port)) == 0

    wait_until(answers, 90, "the S3 store answers")
    yield f"http://{address}"
    os.kill(server.pid, signal.SIGTERM)
    server.wait()


def from_bucket(name: str, key: str, endpoint: str, secret_key: str) -> list[dict]:
    keys = secret(
        f"{name}-keys", AWS_ACCESS_KEY_ID="alice", AWS_SECRET_ACCESS_KEY=secret_key, AWS_ENDPOINT_URL_S3=endpoint
    )
    wanted = {"uri": f"s3://models/{key}", "credentialsSecretName": f"{name}-keys"}
    return [keys, model(name, model=wanted)]


def test_a_model_in_a_bucket_is_served_and_its_digest_recorded(here, bucket):
    local_only(here)
    here.given(*from_bucket("good", "pavement/model.onnx", bucket, "wonderland"))
    here.given(*from_bucket("missing", "pavement/no-such.onnx", bucket, "wonderland"))
    here.given(*from_bucket("denied", "pavement/model.onnx", bucket, "looking-glass"))

    here.wait("missing", not_ready("ModelNotFound"))
    here.wait("denied", not_ready("ModelAccessDenied"))
    seen = here.wait("good", serves("1.0.0"))
    digest = hashlib.sha256(MODEL.read_bytes()).hexdigest()
    assert seen["status"]["stable"]["digest"] == f"sha256:{digest}"
    assert condition(seen, "ModelVerified")["status"] == "True"
    log = json.dumps([here.kubectl.items("events"), here.seen("denied").statuses])
    assert "looking-glass" not in log, "a secret was told"


def test_a_model_on_a_volume_is_served(here, tmp_path: Path):
    local_only(here)
    shutil.copy(MODEL, tmp_path / "model.onnx")
    volumes.create(local.running(), f"{here.name}/models", str(tmp_path))
    try:
        here.given(model("claimed", model={"uri": "pvc://models/model.onnx"}))
        here.given(model("absent", model={"uri": "pvc://models/other.onnx"}))
        here.wait("absent", not_ready("ModelNotFound"))
        here.wait("claimed", serves("1.0.0"))
    finally:
        here.kubectl("delete", "csm", "--all")
        here.kubectl("delete", "pvc", "models", "--wait=false")
        here.cluster.kubectl("delete", "pv", f"{here.name}-models", "--wait=false")


def test_a_file_of_the_image_is_read(here):
    here.given(model("local", model={"uri": "file:///etc/os-release"}))
    seen = here.wait("local", not_ready("ContractMismatch"))
    assert "ONNX" in condition(seen, "Ready")["message"]


def test_a_token_opens_a_store_that_asks_for_one(here):
    here.given(secret("token", HTTP_BEARER_TOKEN="open-sesame"))
    private = f"http://vault.{STORE}/private/pavement-1.0.0.onnx"
    sha256 = hashlib.sha256(MODEL.read_bytes()).hexdigest()
    here.given(model("opened", model={"uri": private, "credentialsSecretName": "token", "sha256": sha256}))
    here.wait("opened", serves("1.0.0"))

"""Models in an S3-compatible store: a real one (versitygw) on loopback, with and without keys."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import obstore
import pytest
from obstore.store import S3Store
from tests.serving.fetching import Fetched, digest
from tests.serving.process import DEADLINE

from crackseg_local import programs
from crackseg_local.controlplane import free_port

pytestmark = pytest.mark.serving

KEY, SECRET = "inspector", "s3cret-s3cret"


@dataclass(frozen=True)
class Store:
    """A running store with a bucket that needs keys, `models`, and one that does not, `public`."""

    endpoint: str

    def settings(self, **changes: str) -> dict[str, str]:
        """The environment that a Secret would give."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            **changes,
        }

    def bucket(self, name: str) -> S3Store:
        return S3Store(
            name,
            config={
                "endpoint": self.endpoint,
                "access_key_id": KEY,
                "secret_access_key": SECRET,
                "region": "us-east-1",
            },
            client_options={"allow_http": True, "timeout": timedelta(seconds=DEADLINE)},
        )

    def publish(self, bucket: str) -> None:
        """Let everyone read a bucket."""
        resource = f"arn:aws:s3:::{bucket}/*"
        policy = {"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": resource}]}
        body = json.dumps(policy)
        signed = ["--aws-sigv4", "aws:amz:us-east-1:s3", "--user", f"{KEY}:{SECRET}"]
        signed += ["--header", f"x-amz-content-sha256: {digest(body.encode())}"]
        address = f"{self.endpoint}/{bucket}?policy="
        subprocess.run(["curl", "-sSf", *signed, "-X", "PUT", "--data", body, address], check=True, timeout=DEADLINE)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, model: bytes) -> Iterator[Store]:
    program = programs.bin_folder() / "versitygw"
    if not program.exists():
        pytest.skip("versitygw is not built: python -m crackseg_local programs versitygw")
    folder = tmp_path_factory.mktemp("store")
    for bucket in ("models", "public"):
        (folder / bucket).mkdir()
    port = free_port()
    env = {"PATH": os.environ["PATH"], "ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}
    command = [
        program,
        "--quiet",
        "--port",
        f"127.0.0.1:{port}",
        "posix",
        "--sidecar",
        folder.with_name("attributes"),
        folder,
    ]
    folder.with_name("attributes").mkdir(exist_ok=True)
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    running = Store(f"http://127.0.0.1:{port}")
    try:
        _wait(running, process)
        for bucket in ("models", "public"):
            obstore.put(running.bucket(bucket), "road/1.0.0/model.onnx", model)
        obstore.put(running.bucket("models"), "road/a key + more.onnx", model)
        running.publish("public")
        yield running
    finally:
        process.terminate()
        process.wait(DEADLINE)


def _wait(store: Store, process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + DEADLINE
    while True:
        assert process.poll() is None, "versitygw ended"
        assert time.monotonic() < give_up, "versitygw does not answer"
        try:
            urllib.request.urlopen(store.endpoint, timeout=1).close()
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            time.sleep(0.02)


@pytest.mark.parametrize("key", ["road/1.0.0/model.onnx", "road/a key + more.onnx"])
def test_an_object_is_brought_with_keys(store: Store, tmp_path: Path, model: bytes, key: str):
    done = Fetched(tmp_path, f"s3://models/{key}", MODEL_SHA256=digest(model), **store.settings())
    assert done.code == 0, done.output
    assert done.target.read_bytes() == model
    assert SECRET not in done.output


def test_the_general_endpoint_variable_does_too(store: Store, tmp_path: Path):
    settings = store.settings(AWS_ENDPOINT_URL=store.endpoint)
    del settings["AWS_ENDPOINT_URL_S3"]
    assert Fetched(tmp_path, "s3://models/road/1.0.0/model.onnx", **settings).code == 0


def test_a_public_bucket_needs_no_keys(store: Store, tmp_path: Path):
    done = Fetched(tmp_path, "s3://public/road/1.0.0/model.onnx", AWS_ENDPOINT_URL_S3=store.endpoint)
    assert done.code == 0, done.output


@pytest.mark.parametrize(
    ("uri", "changes", "reason"),
    [
        pytest.param("s3://models/road/2.0.0/model.onnx", {}, "ModelNotFound", id="no such object"),
        pytest.param("s3://nowhere/road/1.0.0/model.onnx", {}, "ModelNotFound", id="no such bucket"),
        pytest.param(
            "s3://models/road/1.0.0/model.onnx",
            {"AWS_SECRET_ACCESS_KEY": "wrong"},
            "ModelAccessDenied",
            id="a wrong secret",
        ),
        pytest.param(
            "s3://models/road/1.0.0/model.onnx",
            {"AWS_ACCESS_KEY_ID": "ghost"},
            "ModelAccessDenied",
            id="an unknown key",
        ),
        pytest.param(
            "s3://models/road/1.0.0/model.onnx",
            {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
            "ModelAccessDenied",
            id="no keys for a bucket that needs them",
        ),
        pytest.param(
            "s3://models/road/1.0.0/model.onnx",
            {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"},
            "ModelDownloadFailed",
            id="nobody at the endpoint",
        ),
    ],
)
def test_a_store_that_does_not_give_is_named(
    store: Store, tmp_path: Path, uri: str, changes: dict[str, str], reason: str
):
    failed = Fetched(tmp_path, uri, **store.settings(**changes))
    assert failed.failed(reason)
    assert SECRET not in failed.output

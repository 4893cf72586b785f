"""The init container's command against files and real web servers: what it brings, and why it does not."""

from __future__ import annotations

import base64
import http.server
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.serving.fetching import Fetched, answer, digest, web
from tests.serving.process import DEADLINE, environment

from crackseg_serving.contract import Report
from crackseg_serving.failures import ModelFailure
from crackseg_serving.sources.location import FileLocation, parse_location, redact

pytestmark = pytest.mark.serving


def test_a_file_is_brought_verified_and_reported(tmp_path: Path, dark_model: Path, model: bytes):
    done = Fetched(tmp_path, dark_model.as_uri(), MODEL_SHA256=digest(model))
    assert done.code == 0, done.output
    assert done.target.read_bytes() == model
    assert done.target.stat().st_mode & 0o777 == 0o644
    assert done.report == Report(digest=f"sha256:{digest(model)}")
    assert [path.name for path in done.target.parent.iterdir()] == ["model.onnx"]


def test_a_file_on_a_claim_is_found_below_the_claims_folder_and_nowhere_else(tmp_path: Path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "way-out").symlink_to("/etc")
    assert parse_location("pvc://store/v1/a.onnx", tmp_path) == FileLocation(tmp_path / "store/v1/a.onnx")
    for uri in ("pvc://store/../../etc/passwd", "pvc://../etc/passwd", "pvc://store/way-out/passwd"):
        with pytest.raises(ModelFailure, match="leads out of the claim"):
            parse_location(uri, tmp_path)


@pytest.mark.parametrize(
    ("content", "reason", "words"),
    [
        pytest.param(
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
            "PointerFile",
            "git lfs pull",
            id="a Git LFS pointer",
        ),
        pytest.param(b"", "ContractMismatch", "empty", id="an empty file"),
        pytest.param(b"<!DOCTYPE html><title>Log in</title>", "ContractMismatch", "web page", id="a login page"),
        pytest.param(b"PK\x03\x04" + b"\0" * 900, "ContractMismatch", "PyTorch's .pt", id="an archive"),
        pytest.param(b"\x14\0\0\0ORTM" + b"\0" * 900, "ContractMismatch", "(.ort)", id="ONNX Runtime's own format"),
        pytest.param(b"\x1c\0\0\0TFL3" + b"\0" * 900, "ContractMismatch", "TensorFlow Lite", id="TensorFlow Lite"),
        pytest.param(b"\x89HDF\r\n\x1a\n" + b"\0" * 900, "ContractMismatch", "Keras", id="a Keras file"),
        pytest.param(b'<?xml version="1.0"?>\n<net name="a">', "ContractMismatch", "OpenVINO", id="OpenVINO's graph"),
        pytest.param(b"hello", "ContractMismatch", "not ONNX", id="text"),
    ],
)
def test_what_is_no_model_is_named(tmp_path: Path, content: bytes, reason: str, words: str):
    path = tmp_path / "given.onnx"
    path.write_bytes(content)
    assert words in Fetched(tmp_path, path.as_uri()).failed(reason)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_model_cut_short_is_truncated(tmp_path: Path, model: bytes, share: float):
    path = tmp_path / "cut.onnx"
    path.write_bytes(model[: int(len(model) * share)])
    message = Fetched(tmp_path, path.as_uri()).failed("ContractMismatch")
    assert "truncated" in message or "not ONNX" in message


def test_other_bytes_than_pinned_are_refused(tmp_path: Path, dark_model: Path, model: bytes):
    message = Fetched(tmp_path, dark_model.as_uri(), MODEL_SHA256="0" * 64).failed("DigestMismatch")
    assert digest(model) in message


@pytest.mark.parametrize(
    "uri", ["file:///nowhere/model.onnx", "file:///etc", "ftp://host/model.onnx", "s3://bucket", "model.onnx"]
)
def test_what_is_not_there_is_not_found(tmp_path: Path, uri: str):
    Fetched(tmp_path, uri).failed("ModelNotFound")


def test_the_web_brings_a_model(tmp_path: Path, model: bytes):
    with web(lambda request: answer(request, 200, model)) as address:
        done = Fetched(tmp_path, f"{address}/model.onnx?token=secret")
    assert done.code == 0, done.output
    assert done.target.read_bytes() == model
    assert "secret" not in done.output


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("127.0.0.1:1/a b.onnx", id="a space"),
        pytest.param("127.0.0.1:1/straße.onnx", id="a letter beyond ASCII"),
        pytest.param("[::1/m.onnx", id="half an address"),
        pytest.param("127.0.0.1:port/m.onnx", id="a port that is no number"),
    ],
)
def test_an_address_that_is_none_is_refused_without_its_query(tmp_path: Path, place: str):
    done = Fetched(tmp_path, f"http://{place}?token=secret")
    assert "must be s3://" in done.failed("ModelNotFound")
    assert "secret" not in done.output
    assert done.output.count("\n") == 1


def test_a_redirect_to_another_scheme_is_not_followed(tmp_path: Path):
    def redirect(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", "ftp://127.0.0.1/m.onnx?token=secret")
        request.end_headers()

    with web(redirect) as address:
        done = Fetched(tmp_path, f"{address}/m.onnx")
    assert "only http:// and https://" in done.failed("ModelDownloadFailed")
    assert "secret" not in done.output


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (404, "ModelNotFound"),
        (410, "ModelNotFound"),
        (401, "ModelAccessDenied"),
        (403, "ModelAccessDenied"),
        (418, "ModelDownloadFailed"),
    ],
)
def test_a_final_refusal_is_not_tried_again(tmp_path: Path, status: int, reason: str):
    asked: list[str] = []

    def refuse(request: http.server.BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        answer(request, status)

    with web(refuse) as address:
        assert str(status) in Fetched(tmp_path, f"{address}/model.onnx").failed(reason)
    assert len(asked) == 1


def test_a_busy_server_is_asked_again(tmp_path: Path, model: bytes):
    asked: list[str] = []

    def busy(request: http.server.BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        answer(request, 503) if len(asked) == 1 else answer(request, 200, model)

    with web(busy) as address:
        done = Fetched(tmp_path, f"{address}/model.onnx")
    assert (done.code, len(asked)) == (0, 2)
    assert "503" in done.output
    assert "trying again" in done.output


def test_a_server_that_is_always_busy_is_given_up_on(tmp_path: Path):
    with web(lambda request: answer(request, 503)) as address:
        assert "gave up after 2 attempts" in Fetched(tmp_path, f"{address}/m.onnx").failed("ModelDownloadFailed")


def test_nobody_listening_is_a_failed_download(tmp_path: Path):
    with web(lambda request: answer(request, 200)) as address:
        pass
    assert "refused" in Fetched(tmp_path, f"{address}/m.onnx").failed("ModelDownloadFailed")


def test_a_connection_that_breaks_off_is_tried_again_and_then_named(tmp_path: Path, model: bytes):
    with web(lambda request: answer(request, 200, model[:100], length=str(len(model)))) as address:
        message = Fetched(tmp_path, f"{address}/m.onnx").failed("ModelDownloadFailed")
    assert f"100 of {len(model)} bytes" in message


def test_a_server_that_falls_silent_is_given_up_on(tmp_path: Path, model: bytes):
    done = threading.Event()

    def silent(request: http.server.BaseHTTPRequestHandler) -> None:
        answer(request, 200, model[:100], length=str(len(model)))
        request.wfile.flush()
        done.wait(DEADLINE)

    with web(silent) as address:
        failed = Fetched(tmp_path, f"{address}/m.onnx")
        done.set()
    assert failed.failed("ModelDownloadFailed")


def test_too_many_bytes_are_not_downloaded(tmp_path: Path, model: bytes):
    with web(lambda request: answer(request, 200, model)) as address:
        message = Fetched(tmp_path, f"{address}/m.onnx", MODEL_MAX_BYTES="100").failed("ModelDownloadFailed")
    assert "MODEL_MAX_BYTES" in message


@pytest.mark.parametrize(
    ("settings", "userinfo", "expected"),
    [
        pytest.param({"HTTP_BEARER_TOKEN": "s3cret"}, "", "Bearer s3cret", id="a token"),
        pytest.param(
            {"HTTP_USERNAME": "ann", "HTTP_PASSWORD": "s3cret"},
            "",
            "Basic " + base64.b64encode(b"ann:s3cret").decode(),
            id="a password",
        ),
        pytest.param({}, "ann:s3cret@", "Basic " + base64.b64encode(b"ann:s3cret").decode(), id="in the address"),
        pytest.param({}, "", None, id="nothing"),
    ],
)
def test_credentials_are_sent_to_their_host_and_never_said(
    tmp_path: Path, model: bytes, settings: dict[str, str], userinfo: str, expected: str | None
):
    seen: list[str | None] = []

    def guarded(request: http.server.BaseHTTPRequestHandler) -> None:
        seen.append(request.headers["Authorization"])
        answer(request, 200, model)

    with web(guarded) as address:
        done = Fetched(tmp_path, address.replace("://", f"://{userinfo}") + "/m.onnx", **settings)
    assert done.code == 0, done.output
    assert seen == [expected]
    assert "s3cret" not in done.output
    assert done.report is not None
    assert "s3cret" not in done.report.to_json()


def test_credentials_do_not_follow_a_redirect_to_another_host(tmp_path: Path, model: bytes):
    seen: dict[str, str | None] = {}

    def elsewhere(request: http.server.BaseHTTPRequestHandler) -> None:
        seen["elsewhere"] = request.headers["Authorization"]
        answer(request, 200, model)

    with web(elsewhere) as other:

        def redirect(request: http.server.BaseHTTPRequestHandler) -> None:
            seen[request.path] = request.headers["Authorization"]
            answer(request, 302, Location="/second" if request.path == "/first" else f"{other}/m.onnx")

        with web(redirect) as address:
            done = Fetched(tmp_path, f"{address}/first", HTTP_BEARER_TOKEN="token")
    assert done.code == 0, done.output
    assert seen == {"/first": "Bearer token", "/second": "Bearer token", "elsewhere": None}


def test_a_full_disk_says_so(tmp_path: Path):
    (tmp_path / "big.onnx").write_bytes(b"\x08\x08" * 500_000)
    (tmp_path / "small").mkdir()
    mount = 'mount -t tmpfs -o size=64k none "$0" && exec "$@"'
    run = subprocess.run(
        [
            "unshare",
            "--mount",
            "--map-root-user",
            "sh",
            "-c",
            mount,
            tmp_path / "small",
            sys.executable,
            "-m",
            "crackseg_serving.sources",
        ],
        env=environment(MODEL_URI=(tmp_path / "big.onnx").as_uri(), MODEL_PATH=str(tmp_path / "small" / "model.onnx")),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    if run.stderr.startswith(("unshare", "mount")):
        pytest.skip(f"this machine gives no private tmpfs: {run.stderr.strip()}")
    assert run.returncode == 1
    assert run.stderr.startswith("ModelDownloadFailed: the disk of ")


def test_settings_that_make_no_sense_are_one_sentence(tmp_path: Path):
    assert Fetched(tmp_path, "").code == 2
    wrong = Fetched(tmp_path, "file:///m.onnx", MODEL_SHA256="abc")
    assert (wrong.code, wrong.output.count("\n")) == (2, 1)
    assert "MODEL_SHA256" in wrong.output


def test_a_stop_in_mid_download_leaves_nothing(tmp_path: Path, model: bytes):
    asked, done = threading.Event(), threading.Event()

    def slow(request: http.server.BaseHTTPRequestHandler) -> None:
        answer(request, 200, model[:100], length=str(len(model)))
        request.wfile.flush()
        asked.set()
        done.wait(DEADLINE)

    with web(slow) as address:
        target = tmp_path / "models" / "model.onnx"
        process = subprocess.Popen(
            [sys.executable, "-m", "crackseg_serving.sources"],
            env=environment(MODEL_URI=f"{address}/m.onnx", MODEL_PATH=str(target)),
        )
        assert asked.wait(DEADLINE)
        began = time.monotonic()
        process.terminate()
        assert process.wait(DEADLINE) != 0
        assert time.monotonic() - began < DEADLINE / 3
        done.set()
    assert not target.exists()


def test_the_command_starts_without_numpy_onnxruntime_or_opencv():
    code = "import crackseg_serving.sources.__main__, crackseg_serving.sources.web, sys, json; print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True, timeout=DEADLINE
    )
    assert not {"numpy", "onnxruntime", "cv2", "obstore", "asyncio"} & set(json.loads(run.stdout))


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://ann:s3cret@host:8443/a.onnx?token=s3cret#x", "https://***@host:8443/a.onnx?***"),
        ("https://host/a.onnx", "https://host/a.onnx"),
        ("https://s3cret@host/a@b.onnx", "https://***@host/a@b.onnx"),
        ("s3://bucket/a?b.onnx", "s3://bucket/a?b.onnx"),
    ],
)
def test_an_address_is_said_without_its_secrets(uri: str, shown: str):
    assert redact(uri) == shown

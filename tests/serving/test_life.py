"""The server's life: loading, stopping, failing; seen from outside as the kubelet sees it."""

from __future__ import annotations

import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from onnx import TensorProto
from tests.serving.conftest import Serve
from tests.serving.models import DarkModel
from tests.serving.pictures import cracked, encoded
from tests.serving.process import DEADLINE, Answer, ServerProcess
from tests.serving.waiting import until

from crackseg_serving.contract import Report

pytestmark = pytest.mark.serving

GOOD = encoded(cracked()[0])


def report_of(server: ServerProcess) -> Report:
    """What the server left for the kubelet."""
    report = Report.parse(server.termination_log.read_text())
    assert report is not None
    return report


def test_a_model_that_takes_for_ever_is_alive_not_ready_and_stopped_at_once(serve: Serve, tmp_path: Path):
    model = DarkModel(slow_nodes=1000).save(tmp_path / "slow.onnx")
    server = serve(MODEL_PATH=str(model), MODEL_VERSION="9")
    for _ in range(5):
        assert server.ask("GET", "/health").status == 200
        ready = server.ask("GET", "/ready")
        assert (ready.status, ready.json["reason"]) == (503, "Starting")
        assert ready.headers["x-model-version"] == "9"
        refused = server.segment(GOOD)
        assert (refused.status, refused.json["title"]) == (503, "Not ready")
        assert int(refused.headers["retry-after"]) > 0
        assert server.ask("GET", "/model/info").status == 503
        assert server.ask("GET", "/v2/health/live").status == 200
        assert server.ask("GET", "/v2/health/ready").status == 503
        assert server.ask("GET", "/v2/models/pavement").status == 503
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < DEADLINE / 3, "loading was waited for"
    assert not server.termination_log.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_stops_cleanly(serve: Serve, number: signal.Signals):
    assert serve().wait_ready().stop(number) == 0


def test_sigterm_under_load_loses_no_request(serve: Serve):
    server = serve(DRAIN_SECONDS="4").wait_ready()
    stopped, answers, failures = threading.Event(), list[Answer](), list[Exception]()

    def client() -> None:
        """Ask on, as a client behind a proxy does: until told that the server is draining."""
        while not stopped.is_set():
            try:
                answer = server.segment(GOOD, "?output=mask")
            except OSError as error:
                failures.append(error)
                return
            answers.append(answer)
            if answer.headers.get("connection") == "close":
                return

    clients = [threading.Thread(target=client) for _ in range(8)]
    for one in clients:
        one.start()
    until(lambda: len(answers) >= 40, "forty answers")
    server.process.send_signal(signal.SIGTERM)
    until(lambda: server.ask("GET", "/ready").status == 503, "not ready after SIGTERM")
    assert server.ask("GET", "/ready").json["reason"] == "Draining"
    assert server.ask("GET", "/health").status == 200
    late = server.segment(GOOD)
    assert (late.status, late.headers["connection"]) == (200, "close")
    for one in clients:
        one.join(DEADLINE)
    stopped.set()
    assert server.wait() == 0
    assert not failures
    assert {answer.status for answer in answers} == {200}


def test_work_in_flight_is_finished_after_the_listener_is_closed(serve: Serve):
    server = serve(DRAIN_SECONDS="0", TILE_SIZE="64", TILE_OVERLAP="0").wait_ready()
    big = encoded(cracked(2000, 2000)[0])
    answers: list[Answer] = []
    client = threading.Thread(target=lambda: answers.append(server.segment(big, "?output=mask")))
    client.start()
    until(lambda: server.metric("crackseg_batch_size_count") > 3, "tiles being run")
    assert server.stop() == 0
    client.join(DEADLINE)
    assert [answer.status for answer in answers] == [200]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        pytest.param(DarkModel(channels=5), ("channel", "5"), id="five channels"),
        pytest.param(DarkModel(dtype=TensorProto.INT32), ("FP32", "INT32"), id="whole numbers in"),
        pytest.param(
            DarkModel(metadata={"crackseg.input.range": "1..2"}), ("crackseg.input.range", "0..255"), id="bad metadata"
        ),
        pytest.param(
            DarkModel(metadata={"crackseg.input.std": "0,0,0"}), ("crackseg.input.std",), id="a deviation of nought"
        ),
        pytest.param(
            DarkModel(head="softmax", metadata={"crackseg.classes": "road,sky"}),
            ("crackseg.classes",),
            id="no class called crack",
        ),
    ],
)
def test_a_model_against_the_contract_is_refused_with_the_reason(
    serve: Serve, tmp_path: Path, model: DarkModel, words: tuple[str, ...]
):
    server = serve(MODEL_PATH=str(model.save(tmp_path / "model.onnx")))
    assert server.wait() == 1
    report = report_of(server)
    assert report.reason == "ContractMismatch"
    assert all(word in report.message for word in words), report.message


def test_what_is_no_onnx_at_all_is_refused(serve: Serve, dark_model: Path, tmp_path: Path):
    whole = dark_model.read_bytes()
    for content in (whole[: len(whole) // 2], b"not a model", b""):
        broken = tmp_path / "broken.onnx"
        broken.write_bytes(content)
        server = serve(MODEL_PATH=str(broken))
        assert server.wait() == 1
        assert report_of(server).reason == "ContractMismatch"
        assert "not ONNX" in report_of(server).message


def test_a_missing_model_a_wrong_digest_and_a_missing_card_have_their_reasons(serve: Serve, tmp_path: Path):
    for settings, reason in (
        ({"MODEL_PATH": str(tmp_path / "none.onnx")}, "ModelNotFound"),
        ({"MODEL_SHA256": "0" * 64}, "DigestMismatch"),
        ({"INFERENCE_DEVICE": "CUDA"}, "ProviderFallback"),
        ({"INFERENCE_DEVICE": "TensorRT"}, "ProviderFallback"),
    ):
        server = serve(**settings)
        assert server.wait() == 1
        assert report_of(server).reason == reason


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INFERENCE_DEVICE", "Gpu"),
        ("BATCH_SIZE", "many"),
        ("APP_PORT", "99999"),
        ("TILE_OVERLAP", "400"),
        ("LOG_LEVEL", "LOUD"),
        ("MODEL_SHA256", "abc"),
        ("PAGE_PORT", "8080"),
    ],
)
def test_bad_settings_are_one_sentence_and_exit_2(serve: Serve, name: str, value: str):
    server = serve(**{"APP_PORT": "8080", name: value})
    assert server.wait() == 2
    (line,) = server.lines
    assert name in line["message"]
    assert value in line["message"]


def test_a_taken_port_is_one_sentence(serve: Serve):
    first = serve().wait_ready()
    second = serve(APP_PORT=str(first.port))
    assert second.wait() == 1
    assert str(first.port) in second.lines[-1]["message"]


def test_a_taken_port_ends_the_start_in_the_middle_of_loading(serve: Serve, tmp_path: Path):
    model = DarkModel(slow_nodes=1000).save(tmp_path / "slow.onnx")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        server = serve(MODEL_PATH=str(model), PAGE_PORT=port)
        assert server.wait() == 1
    assert port in server.lines[-1]["message"]


def test_nothing_is_reported_to_the_maker_of_the_runtime(serve: Serve, tmp_path: Path):
    """Its telemetry makes a device identifier and a cache below HOME before it sends anything."""
    home = tmp_path / "home"
    home.mkdir()
    server = serve(HOME=str(home), XDG_CACHE_HOME=str(home), XDG_STATE_HOME=str(home), XDG_DATA_HOME=str(home), CI="")
    server.wait_ready()
    assert server.segment(GOOD).status == 200
    assert server.stop() == 0
    assert not list(home.rglob("*"))
    assert not any("telemetry" in line["message"].lower() for line in server.lines)

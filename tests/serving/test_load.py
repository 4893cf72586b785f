"""Many clients, large images, impatient clients: bounded memory, right answers, clear refusals."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.serving.conftest import Serve
from tests.serving.models import DarkModel
from tests.serving.pictures import cracked, encoded, mask_of, overlap
from tests.serving.process import DEADLINE, Answer, ServerProcess
from tests.serving.waiting import until

pytestmark = pytest.mark.serving
GOOD = encoded(cracked()[0])


def peak_memory(server: ServerProcess, figure: str = "VmHWM") -> int:
    """The most that the process had resident, in bytes; `VmRSS`: what it has."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(figure))


def damaged_jpeg(side: int) -> bytes:
    """So large that it is decoded in strips, progressive: all its coefficients are kept. Its scans make no sense."""
    done, data = cv2.imencode(".jpg", cracked(64, 64)[0], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    frame = bytes(data).find(b"\xff\xc2")
    last = bytes(data).rfind(b"\xff\xda")
    assert done
    head, scans = bytes(data[:frame]), bytes(data[frame + 9 : -2])
    size = bytes(data[frame : frame + 5]) + side.to_bytes(2) + side.to_bytes(2)
    return head + size + scans + bytes(data[last:-2]) * 30 + b"\xff\xd9"


def together(count: int, ask: Callable[[int], Answer]) -> list[Answer]:
    """What `count` clients get who ask at the same time."""
    start = threading.Barrier(count)

    def client(number: int) -> Answer:
        start.wait(DEADLINE)
        return ask(number)

    with ThreadPoolExecutor(count) as clients:
        return list(clients.map(client, range(count)))


def test_sixteen_clients_each_get_the_mask_of_their_own_picture(server: ServerProcess):
    pictures = [cracked(120 + 8 * number, 400 - 8 * number) for number in range(16)]
    for answer, (_, truth) in zip(
        together(16, lambda number: server.segment(encoded(pictures[number][0]), "?output=mask")), pictures, strict=True
    ):
        assert answer.status == 200
        assert overlap(mask_of(answer.body), truth) > 0.9


def test_tensors_of_sixteen_clients_share_runs_and_do_not_mix(serve: Serve):
    server = serve(MAX_WORKERS="16").wait_ready()

    def ask(number: int) -> Answer:
        data = [number / 40] * 3 * 16 * 16
        tensor = {"name": "image", "datatype": "FP32", "shape": [1, 3, 16, 16], "data": data}
        return server.ask("POST", "/v2/models/pavement/infer", json.dumps({"inputs": [tensor]}).encode())

    for number, answer in enumerate(together(16, ask)):
        expected = 1 / (1 + np.exp(-(0.4 - number / 40) * 40))
        assert answer.json["outputs"][0]["data"][0] == pytest.approx(expected, abs=1e-4)


def test_a_picture_of_24_megapixels_goes_through_tiles_at_bounded_memory(serve: Serve):
    server = serve(TILE_SIZE="512", TILE_OVERLAP="32").wait_ready()
    picture, truth = cracked(4000, 6000)
    data = encoded(picture, ".jpg")
    assert server.segment(encoded(cracked()[0])).status == 200
    before = peak_memory(server)
    mask = server.segment(data, "?output=mask")
    assert overlap(mask_of(mask.body), truth) > 0.95
    for output in ("json", "overlay"):
        assert server.segment(data, f"?output={output}").status == 200
    # What admission sets aside for such a picture: bytes for each pixel, and more for each that is crack.
    assert peak_memory(server) - before < 24e6 * 16 + 200 * int((truth > 0).sum())
    assert server.metric("crackseg_batch_size_sum") > 3 * 12 * 8


def test_more_clients_than_the_queue_holds_are_told_to_come_later(serve: Serve, tmp_path: Path):
    server = serve(MAX_WORKERS="1", MAX_QUEUE="2", TILE_SIZE="64", TILE_OVERLAP="0").wait_ready()
    data = encoded(cracked(1500, 2000)[0])
    answers = together(12, lambda _: server.segment(data, "?output=mask"))
    statuses = sorted(answer.status for answer in answers)
    assert set(statuses) == {200, 429}
    assert statuses.count(200) >= 3
    refused = next(answer for answer in answers if answer.status == 429)
    assert int(refused.headers["retry-after"]) > 0
    assert server.metric('crackseg_requests_rejected_total{reason="overloaded"}') == statuses.count(429)
    assert server.segment(data, "?output=mask").status == 200


def test_a_hundred_and_twenty_eight_clients_of_a_quick_model_are_all_served(serve: Serve):
    server = serve(MAX_WAIT_SECONDS="60").wait_ready()  # the machine may be busy with anything
    data = encoded(cracked(64, 64)[0])
    answers = together(128, lambda _: server.segment(data, "?output=mask"))
    assert [answer.status for answer in answers] == [200] * 128


def test_a_request_that_takes_too_long_is_given_up(serve: Serve, tmp_path: Path):
    model = DarkModel(slow_nodes=0).save(tmp_path / "model.onnx")
    server = serve(MODEL_PATH=str(model), REQUEST_TIMEOUT_SECONDS="1", TILE_SIZE="64", TILE_OVERLAP="32").wait_ready()
    answer = server.segment(encoded(cracked(6000, 6000)[0], ".jpg"))
    assert (answer.status, answer.json["title"]) == (503, "Timed out")
    until(lambda: server.segment(encoded(cracked()[0])).status == 200, "a small one to be answered in its second")


def test_the_work_of_a_client_that_left_is_called_off(serve: Serve):
    server = serve(TILE_SIZE="64", TILE_OVERLAP="32").wait_ready()
    data = encoded(cracked(6000, 6000)[0], ".jpg")
    head = f"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(head.encode() + data)
        until(lambda: server.metric("crackseg_batch_size_count") > 10, "the work to begin")
    until(lambda: "client-gone" in server.ask("GET", "/metrics").body.decode(), "the work to be called off")
    assert server.metric("crackseg_batch_size_sum") < 187 * 187
    until(lambda: server.metric("crackseg_queue_depth") == 0, "an empty queue")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"\0" * 60_000_000, 415, id="a body that is no image"),
        pytest.param(GOOD[:8] + bytes(60_000_000), 422, id="a damaged image"),
        pytest.param(damaged_jpeg(8000), 422, id="an image that is found to be damaged while it is decoded"),
    ],
)
def test_what_a_refused_request_brought_is_let_go_at_once(serve: Serve, body: bytes, status: int):
    server = serve().wait_ready()
    assert server.segment(GOOD).status == 200
    before = peak_memory(server, "VmRSS")
    assert server.segment(body, "?output=mask").status == status
    until(lambda: peak_memory(server, "VmRSS") < before + (45 << 20), "the memory to be given back")


def test_a_body_that_never_comes_is_given_up(serve: Serve):
    server = serve(REQUEST_TIMEOUT_SECONDS="1").wait_ready()
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE) as client:
        client.sendall(
            b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 100\r\n\r\nabc"
        )
        assert client.recv(100).startswith(b"HTTP/1.1 408")


def test_a_picture_that_is_all_crack_is_not_measured_beyond_the_memory(serve: Serve):
    server = serve(MEMORY_LIMIT=str(384 << 20), TILE_OVERLAP="0").wait_ready()
    black = encoded(np.zeros((2000, 2000, 3), np.uint8))
    before = peak_memory(server)
    refused = server.segment(black, "?output=json")
    assert (refused.status, refused.json["title"]) == (413, "Too many pixels")
    assert "ask for a mask" in refused.json["detail"]
    assert mask_of(server.segment(black, "?output=mask").body).all()
    lines = np.full((1000, 1000, 3), 170, np.uint8)
    lines[::4] = 0
    assert server.segment(encoded(lines), "?output=json").status == 200
    assert peak_memory(server) - before < 4e6 * 16 + 1e6 * (16 + 200 / 4)

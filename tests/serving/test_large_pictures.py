"""Pictures of many megapixels through the real server, in memory that is bounded and held by the kernel; cracks from edge to edge."""

from __future__ import annotations

import http.client
import io
import json
import resource
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.serving.conftest import Serve
from tests.serving.pictures import mask_of
from tests.serving.process import Answer, ServerProcess

from crackseg_serving import imaging
from crackseg_serving.answers import Output
from crackseg_serving.large import BYTES_A_CRACK_PIXEL, bytes_for

pytestmark = pytest.mark.serving

HEIGHT, WIDTH = 9_000, 12_000
TILE, OVERLAP = 512, 64
PATIENCE = 280.0
#: Across all of it: both diagonals, from side to side, from top to bottom, and one that winds.
COURSES = (
    [(0, 0), (WIDTH - 1, HEIGHT - 1)],
    [(0, HEIGHT - 1), (WIDTH - 1, 0)],
    [(0, 4000), (WIDTH - 1, 4100)],
    [(5000, 0), (5100, HEIGHT - 1)],
    [(0, 100), (4000, 8000), (8000, 300), (WIDTH - 1, 8800)],
)


def drawn() -> NDArray[np.uint8]:
    """Grey, with black lines."""
    picture = np.full((HEIGHT, WIDTH), 170, np.uint8)
    for course in COURSES:
        cv2.polylines(picture, [np.array(course)], isClosed=False, color=10, thickness=7)
    return picture


@pytest.fixture(scope="module")
def photograph() -> bytes:
    """108 megapixels as JPEG."""
    done, data = cv2.imencode(".jpg", drawn(), [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert done
    return data.tobytes()


@pytest.fixture
def server(serve: Serve) -> ServerProcess:
    return serve(TILE_SIZE=str(TILE), TILE_OVERLAP=str(OVERLAP), BATCH_SIZE="1").wait_ready()


def ask(server: ServerProcess, data: bytes, output: str) -> Answer:
    """One picture, with more patience than small ones get."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    try:
        connection.request("POST", f"/v1/segment?output={output}", data, {"Content-Type": "image/jpeg"})
        answer = connection.getresponse()
        return Answer(answer.status, {}, answer.read())
    finally:
        connection.close()


def memory(server: ServerProcess, name: str) -> int:
    """A line of the process's status, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith(f"{name}:"))


def bound(data: bytes, output: Output, cracked: int = 0) -> int:
    """What docs/server.md says that one request takes."""
    plan = imaging.plan_tiles(HEIGHT, WIDTH, size=TILE, overlap=OVERLAP)
    return len(data) + bytes_for(imaging.read_facts(data), plan, output) + cracked * BYTES_A_CRACK_PIXEL


@pytest.mark.timeout(600)
def test_cracks_across_108_megapixels_are_found_and_measured_within_the_bound(server: ServerProcess, photograph: bytes):
    expected = drawn() < 90
    cracked = int(expected.sum())
    idle, threads = memory(server, "VmRSS"), 64 << 20  # stacks that are reserved and not used
    for output in (Output.MASK, Output.MEASUREMENTS):
        most = bound(photograph, output, cracked if output.measured else 0)
        assert most < 6 * HEIGHT * WIDTH  # in one piece it is 16 to 24 bytes a pixel
        limit = memory(server, "VmData") + most + threads
        resource.prlimit(server.process.pid, resource.RLIMIT_DATA, (limit, resource.RLIM_INFINITY))
        answer = ask(server, photograph, output)
        assert answer.status == 200, answer.body
        assert memory(server, "VmHWM") - idle < most
        if output is Output.MASK:
            found = mask_of(answer.body)
            assert np.count_nonzero(found != expected) < 0.002 * cracked
        else:
            (network,) = answer.json["measurements"]["cracks"]
            assert network["boundingBox"] == {"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT}
            lengths = sum(float(np.hypot(*np.diff(np.array(course), axis=0).T).sum()) for course in COURSES)
            assert network["lengthPixels"] == pytest.approx(lengths, rel=0.01)
            assert network["areaPixels"] == pytest.approx(cracked, rel=0.002)


@pytest.mark.timeout(300)
def test_what_cannot_be_decoded_in_strips_is_refused_with_the_bound_and_the_remedy(serve: Serve):
    server = serve(MEMORY_LIMIT=str(400 << 20)).wait_ready()
    file = io.BytesIO()
    Image.new("L", (6000, 5000), 170).save(file, "WEBP", method=0)
    answer = ask(server, file.getvalue(), "mask")
    assert answer.status == 413
    assert all(word in answer.json["detail"] for word in ("MiB", "strip by strip", "not progressive", "memory limit"))
    overlay = ask(server, cv2.imencode(".png", np.full((5000, 6000), 170, np.uint8))[1].tobytes(), "overlay")
    assert overlay.status == 413
    assert "ask for the mask or for measurements" in overlay.json["detail"]


def png(height: int, width: int) -> bytes:
    return cv2.imencode(".png", np.full((height, width), 170, np.uint8))[1].tobytes()


def bomb() -> bytes:
    """A PNG of a few bytes that says it has 399 megapixels, and has none."""
    data = bytearray(png(8, 8))
    data[16:24] = (19_950).to_bytes(4, "big") + (20_000).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(png(300, 65_535), 200, id="65,535 pixels wide"),
        pytest.param(png(65_535, 300), 200, id="65,535 pixels high"),
        pytest.param(png(3, 65_536), 413, id="a pixel more"),
        pytest.param(bomb(), 422, id="a bomb"),
        pytest.param(
            cv2.imencode(".jpg", np.full((300, 65_500), 170, np.uint8))[1].tobytes(), 200, id="the widest JPEG"
        ),
        pytest.param(b"\xff\xd8\xff" + png(20, 20), 422, id="a PNG that begins as a JPEG"),
    ],
)
def test_strange_shapes_and_hostile_files(serve: Serve, data: bytes, status: int):
    server = serve(TILE_SIZE="512").wait_ready()
    for output in ("mask", "json"):
        answer = ask(server, data, output)
        assert answer.status == status, answer.body[:300]
        if status != 200:
            detail: dict[str, Any] = json.loads(answer.body)
            assert detail["detail"].strip()
    assert server.ask("GET", "/ready").status == 200


def test_a_picture_of_which_too_much_is_crack_is_refused_for_good(serve: Serve):
    """Its rows come one after another, each with a little crack: it is their sum that can never fit."""
    server = serve(MEMORY_LIMIT=str(640 << 20), TILE_OVERLAP="0", BATCH_SIZE="1").wait_ready()
    stripes = np.full((4_200, 4_200), 170, np.uint8)
    stripes[::3] = 0
    done, data = cv2.imencode(".png", stripes)
    assert done
    refused = ask(server, data.tobytes(), "json")
    assert (refused.status, refused.json["title"]) == (413, "Too many pixels")
    assert "ask for a mask" in refused.json["detail"]

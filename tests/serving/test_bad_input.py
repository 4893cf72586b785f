"""Bad input gets a clear answer, and the server goes on."""

from __future__ import annotations

import struct
import zlib

import pytest
from tests.serving.conftest import Serve
from tests.serving.pictures import cracked, encoded
from tests.serving.process import Answer, ServerProcess

pytestmark = pytest.mark.serving

GOOD = encoded(cracked()[0])
JPEG = encoded(cracked()[0], ".jpg")


def huge_png(width: int, height: int) -> bytes:
    """A PNG that announces very many pixels in very few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def is_problem(answer: Answer, status: int, word: str) -> bool:
    """Whether the answer is a problem document that a person can act on."""
    document = answer.json
    assert answer.status == status, document
    assert answer.headers["content-type"] == "application/problem+json"
    assert document["status"] == status
    assert document["instance"].endswith(answer.headers["x-request-id"])
    assert word in document["detail"], document
    return True


@pytest.mark.parametrize(
    ("body", "headers", "status", "word"),
    [
        pytest.param(b"hello, I am text" * 9, {}, 415, "", id="text is no image"),
        pytest.param(b"GIF89a" + b"\0" * 99, {}, 415, "", id="an image that is not taken"),
        pytest.param(b"", {}, 400, "no image", id="no body"),
        pytest.param(JPEG[: len(JPEG) // 2], {}, 422, "", id="half a JPEG"),
        pytest.param(GOOD[: len(GOOD) // 2], {}, 422, "", id="half a PNG"),
        pytest.param(huge_png(30_000, 30_000), {}, 413, "pixels", id="too many pixels"),
        pytest.param(b"{}", {"Content-Type": "application/json"}, 400, "no image", id="JSON without an image"),
        pytest.param(b"<p>", {"Content-Type": "text/html"}, 415, "text/html", id="a page where an image belongs"),
        pytest.param(GOOD, {"Content-Encoding": "gzip"}, 400, "gzip", id="a body that is not compressed as it says"),
        pytest.param(GOOD, {"Content-Encoding": "br"}, 415, "gzip", id="a body compressed in a way that is not taken"),
        pytest.param(
            b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n--x--\r\n",
            {"Content-Type": "multipart/form-data; boundary=x"},
            400,
            "no part named `image`",
            id="a form without an image",
        ),
        pytest.param(b"garbage", {"Content-Type": "multipart/form-data; boundary=x"}, 400, "form", id="a broken form"),
        pytest.param(b"garbage", {"Content-Type": "multipart/form-data"}, 400, "form", id="a form without a boundary"),
    ],
)
def test_a_bad_image_is_refused_and_the_next_is_answered(
    server: ServerProcess, body: bytes, headers: dict[str, str], status: int, word: str
):
    assert is_problem(server.segment(body, **headers), status, word)
    assert server.segment(GOOD).status == 200


@pytest.mark.parametrize(
    ("query", "headers", "status", "word"),
    [
        pytest.param("?output=video", {}, 400, "video", id="an output that there is not"),
        pytest.param("?millimetresPerPixel=-1", {}, 400, "millimetresPerPixel", id="a negative scale"),
        pytest.param("?millimetresPerPixel=nan", {}, 400, "millimetresPerPixel", id="a scale that is no number"),
        pytest.param("", {"Accept": "text/html"}, 406, "text/html", id="a type that we do not have"),
    ],
)
def test_a_bad_wish_is_refused(server: ServerProcess, query: str, headers: dict[str, str], status: int, word: str):
    assert is_problem(server.segment(GOOD, query, **headers), status, word)


def test_too_many_bytes_are_refused_announced_or_not(serve: Serve):
    server = serve(MAX_IMAGE_BYTES="2000").wait_ready()
    assert is_problem(server.segment(b"x" * 2001), 413, "2000 bytes")
    chunked = server.segment(iter([b"x" * 1500, b"x" * 1500]))
    assert is_problem(chunked, 413, "2000 bytes")
    assert server.metric('crackseg_requests_rejected_total{reason="too-many-bytes"}') == 2


def test_an_image_that_does_not_fit_into_memory_is_refused_before_it_is_decoded(serve: Serve):
    server = serve(MEMORY_LIMIT=str(256 << 20)).wait_ready()
    assert is_problem(server.segment(huge_png(9000, 9000)), 413, "MiB for images")
    assert is_problem(server.segment(b"x" * (40 << 20)), 413, "memory that the server has for bodies")
    assert server.segment(GOOD).status == 200


def test_limits_are_told(serve: Serve):
    server = serve(MAX_IMAGE_BYTES="2000", MAX_IMAGE_PIXELS="5000", REQUEST_TIMEOUT_SECONDS="7").wait_ready()
    limits = server.ask("GET", "/model/info").json["limits"]
    assert (limits["bytes"], limits["pixels"], limits["seconds"]) == (2000, 5000, 7)
    assert is_problem(server.segment(huge_png(100, 100)), 413, "5000")

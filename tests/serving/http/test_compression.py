"""Bodies that come compressed, and answers made smaller for who asks."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest
from tests.serving.conftest import Serve
from tests.serving.pictures import cracked, encoded
from tests.serving.process import ServerProcess

from crackseg_serving.http.compression import accepts_gzip

PHOTOGRAPH = encoded(cracked()[0])


def bare(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


@pytest.mark.serving
@pytest.mark.parametrize(
    ("coding", "compress"),
    [
        pytest.param("gzip", gzip.compress, id="gzip"),
        pytest.param("deflate", zlib.compress, id="deflate with zlib's header, as the standard says"),
        pytest.param("deflate", bare, id="deflate without it, as some clients do"),
        pytest.param("GZIP", gzip.compress, id="in capitals"),
    ],
)
def test_a_compressed_photograph_is_answered_as_a_plain_one(server: ServerProcess, coding, compress):
    plain = server.segment(PHOTOGRAPH, "?output=mask")
    answer = server.segment(compress(PHOTOGRAPH), "?output=mask", **{"Content-Encoding": coding})
    assert (answer.status, answer.body) == (200, plain.body)


@pytest.mark.serving
def test_a_bomb_is_refused_before_it_bursts(serve: Serve):
    server = serve(MAX_IMAGE_BYTES=str(2 << 20)).wait_ready()
    bomb = gzip.compress(b"\0" * (256 << 20), 6)
    assert len(bomb) < 1 << 20
    answer = server.segment(bomb, **{"Content-Encoding": "gzip"})
    assert (answer.status, answer.json["title"]) == (413, "Too many bytes")
    assert server.metric("process_resident_memory_bytes") < 256 << 20


@pytest.mark.serving
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(gzip.compress(PHOTOGRAPH)[:-100], id="cut off"),
        pytest.param(gzip.compress(PHOTOGRAPH) + b"more", id="something after it"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_broken_compression_is_refused(server: ServerProcess, body: bytes):
    assert server.segment(body, **{"Content-Encoding": "gzip"}).status == 400


@pytest.mark.serving
def test_large_json_is_made_smaller_for_who_asks_and_nothing_else(server: ServerProcess):
    picture = encoded(cracked(1200, 1600)[0])
    asked = {"Accept-Encoding": "gzip, deflate"}
    plain = server.segment(picture, "?output=json")
    small = server.segment(picture, "?output=json", **asked)
    assert "content-encoding" not in plain.headers
    if len(plain.body) >= 4096:
        assert small.headers["content-encoding"] == "gzip"
        assert small.headers["vary"] == "Accept-Encoding"
    openapi = server.ask("GET", "/openapi.json", headers=asked)
    assert openapi.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(openapi.body)) == server.ask("GET", "/openapi.json").json
    assert "content-encoding" not in server.segment(picture, "?output=mask", **asked).headers
    assert "content-encoding" not in server.ask("GET", "/v2", headers=asked).headers


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("*", True),
        ("br", False),
        ("", False),
        ("gzip;q=0", False),
        ("gzip; q=0.0, br", False),
    ],
)
def test_what_a_client_accepts(header: str, accepted: bool):  # noqa: FBT001 - a table
    assert accepts_gzip(header) is accepted

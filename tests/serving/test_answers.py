"""What a photograph's answer can be, and several photographs in one request: over HTTP, at a real server."""

from __future__ import annotations

import base64
import contextlib
import csv
import http.client
import io
import json
import struct
import tracemalloc
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from tests.serving.conftest import Serve
from tests.serving.pictures import cracked, encoded, mask_of
from tests.serving.process import Answer, ServerProcess
from tests.serving.waiting import until

from crackseg_serving.failures import Refused
from crackseg_serving.http.archive import unpack

pytestmark = pytest.mark.serving

PICTURE = encoded(cracked()[0])
FORM = {"Content-Type": "multipart/form-data; boundary=frontier"}


def form(*parts: tuple[str, str, bytes]) -> bytes:
    """Parts: name, file name, content."""
    body = b""
    for name, file, content in parts:
        body += f'--frontier\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n\r\n'.encode()
        body += content + b"\r\n"
    return body + b"--frontier--\r\n"


@pytest.mark.parametrize(
    ("query", "accept", "kind"),
    [
        pytest.param("", "image/jpeg", "image/jpeg", id="an overlay as JPEG by Accept"),
        pytest.param("?output=overlay-jpeg", "*/*", "image/jpeg", id="an overlay as JPEG by query"),
        pytest.param("?output=rle", "*/*", "application/json", id="run lengths by query"),
        pytest.param("", "application/geo+json", "application/geo+json", id="GeoJSON by Accept"),
        pytest.param("?output=geojson", "*/*", "application/geo+json", id="GeoJSON by query"),
        pytest.param("", "text/csv", "text/csv; charset=utf-8", id="a table by Accept"),
        pytest.param("?output=csv", "*/*", "text/csv; charset=utf-8", id="a table by query"),
    ],
)
def test_each_form_has_its_type(server: ServerProcess, query: str, accept: str, kind: str):
    answer = server.segment(PICTURE, query, Accept=accept)
    assert (answer.status, answer.headers["content-type"]) == (200, kind), answer.body[:300]


def test_the_forms_tell_of_the_same_cracks(server: ServerProcess):
    (crack,) = server.segment(PICTURE, "?output=json").json["measurements"]["cracks"]
    (row,) = csv.DictReader(io.StringIO(server.segment(PICTURE, "?output=csv").body.decode()))
    (feature,) = server.segment(PICTURE, "?output=geojson").json["features"]
    assert float(row["lengthPixels"]) == feature["properties"]["lengthPixels"] == crack["lengthPixels"]
    rle = server.segment(PICTURE, "?output=rle").json["segmentation"]
    assert rle["size"] == [256, 320]
    assert isinstance(rle["counts"], str)


def test_what_is_not_there_is_refused_with_what_is(server: ServerProcess):
    answer = server.segment(PICTURE, Accept="text/html")
    assert answer.status == 406
    assert "text/csv" in answer.json["detail"]


def test_a_world_file_comes_as_a_part_or_in_the_query(server: ServerProcess):
    world = "0.5\n0\n0\n-0.5\n1000.25\n1999.75\n"
    by_form = server.segment(
        form(("image", "a.png", PICTURE), ("worldfile", "a.pgw", world.encode())), "?output=geojson", **FORM
    )
    by_query = server.segment(PICTURE, "?output=geojson&worldFile=0.5,0,0,-0.5,1000.25,1999.75")
    assert by_form.json == by_query.json
    assert by_form.json["placement"]["kind"] == "worldFile"
    points = np.array(by_form.json["features"][0]["geometry"]["coordinates"][0])
    assert (points >= [1000, 2000 - 128]).all()
    assert (points <= [1160, 2000]).all()
    assert server.segment(PICTURE, "?output=geojson&worldFile=1,2").status == 400


@pytest.mark.parametrize(
    "write", [base64.b64encode, base64.encodebytes], ids=["in one line", "in lines, as base64 writes them"]
)
def test_an_image_comes_as_base64_in_json(server: ServerProcess, write: Callable[[bytes], bytes]):
    body = json.dumps({"image": write(PICTURE).decode()}).encode()
    answer = server.segment(body, "?output=mask", **{"Content-Type": "application/json"})
    assert answer.body == server.segment(PICTURE, "?output=mask").body


@pytest.mark.parametrize(
    ("body", "word"),
    [
        pytest.param(b"{", "not JSON", id="broken"),
        pytest.param(b"[]", "no image", id="another document"),
        pytest.param(b'{"image": 5}', "no image", id="no text"),
        pytest.param(b'{"image": "!!!!"}', "not base64", id="no base64"),
        pytest.param(b'{"image": ""}', "no image", id="empty"),
    ],
)
def test_json_without_an_image_is_refused(server: ServerProcess, body: bytes, word: str):
    answer = server.segment(body, **{"Content-Type": "application/json"})
    assert answer.status == 400
    assert word in answer.json["detail"]


PICTURES = [encoded(cracked(200 + 20 * number, 300)[0]) for number in range(5)]


def several(pictures: Sequence[bytes]) -> bytes:
    return form(*(("image", f"{number}.png", picture) for number, picture in enumerate(pictures)))


def check(entries: Sequence[dict[str, Any]], bad: int) -> None:
    """One entry for each of PICTURES, and what is wrong with the one at `bad`."""
    assert [entry["name"] for entry in entries] == [f"{number}.png" for number in range(len(entries))]
    for number, entry in enumerate(entries):
        if number == bad:
            assert entry["problem"]["status"] == 415
        else:
            assert entry["result"]["image"]["height"] == 200 + 20 * number
            assert entry["result"]["measurements"]["crackCount"] == 1


def test_several_images_are_a_list_in_their_order_and_a_bad_one_hurts_no_other(server: ServerProcess):
    answer = server.segment(several([*PICTURES[:2], b"no image", *PICTURES[3:]]), **FORM)
    assert answer.status == 200, answer.body
    check(answer.json, bad=2)


def test_several_images_come_line_by_line_where_that_is_asked(server: ServerProcess):
    answer = server.segment(several([*PICTURES[:4], b""]), Accept="application/x-ndjson", **FORM)
    assert answer.headers["content-type"] == "application/x-ndjson"
    entries = [json.loads(line) for line in answer.body.splitlines()]
    check(sorted(entries, key=lambda entry: entry["index"]), bad=4)


def test_one_image_named_images_is_a_list_and_run_lengths_are_too(server: ServerProcess):
    (entry,) = server.segment(form(("images", "a.png", PICTURE)), "?output=rle", **FORM).json
    assert entry["result"]["segmentation"]["size"] == [256, 320]


def test_several_images_as_one_picture_are_refused(server: ServerProcess):
    answer = server.segment(several(PICTURES), "?output=mask", **FORM)
    assert answer.status == 400
    assert "output=json" in answer.json["detail"]


def test_more_images_than_allowed_are_refused(server: ServerProcess):
    assert server.segment(several([b"x"] * 257), **FORM).status == 400


def test_a_client_that_leaves_between_lines_takes_nothing_with_it(serve: Serve):
    server = serve(MAX_WORKERS="1").wait_ready()
    body = several([encoded(cracked(1500, 1500)[0])] * 200)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", "/v1/segment", body, {**FORM, "Accept": "application/x-ndjson"})
    answer = connection.getresponse()
    assert json.loads(answer.readline())["result"]
    connection.close()
    answer.close()
    after: Answer = server.segment(PICTURE, "?output=mask", **{"X-Request-Timeout": "60"})
    assert mask_of(after.body).any()
    until(lambda: server.metric("crackseg_requests_in_flight") == 1, "nothing but this question to be in flight")
    assert server.metric('crackseg_stage_duration_seconds_count{stage="decode"}') < 200


def test_a_client_that_reads_no_lines_loses_its_place(serve: Serve):
    server = serve(CLIENT_SECONDS="1").wait_ready()
    striped = np.full((1000, 1000, 3), 255, np.uint8)
    striped[::2] = 0  # a run in every row of every column: a megabyte of run lengths
    body = several([encoded(striped)] * 24)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", "/v1/segment?output=rle", body, {**FORM, "Accept": "application/x-ndjson"})
    answer = connection.getresponse()
    until(lambda: server.metric("crackseg_requests_in_flight") == 1, "nothing but this question to be in flight")
    assert server.metric('crackseg_stage_duration_seconds_count{stage="decode"}') < 24
    answer.close()
    connection.close()


def packed(*files: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return file.getvalue()


ZIP = {"Content-Type": "application/zip"}


def test_an_archive_is_answered_line_by_line_and_its_names_are_only_shown(server: ServerProcess):
    inner = packed(("a.png", PICTURE))
    files = [
        ("../../etc/0.png", PICTURES[0]),
        ("folder/", b""),
        ("inner.zip", inner),
        ("__MACOSX/x", b"x"),
        ("1.png", PICTURE),
    ]
    answer = server.segment(packed(*files), **ZIP)
    assert answer.headers["content-type"] == "application/x-ndjson", answer.body
    first, second, third = sorted(map(json.loads, answer.body.splitlines()), key=lambda entry: entry["index"])
    assert (first["name"], third["name"]) == ("../../etc/0.png", "1.png")
    assert first["result"]["measurements"]["crackCount"] == third["result"]["measurements"]["crackCount"] == 1
    assert second["problem"]["status"] == 415  # an archive in the archive


GOOD = packed(("a.png", PICTURE))


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        pytest.param(packed(("bomb.bmp", b"\0" * (129 << 20))), 413, "unpacks to", id="a bomb"),
        pytest.param(packed(*((f"{n}.png", b"x") for n in range(257))), 400, "at most 256", id="too many files"),
        pytest.param(packed(("a.png", PICTURE), method=zipfile.ZIP_LZMA), 400, "deflate", id="packed otherwise"),
        pytest.param(packed(), 400, "no file", id="an empty one"),
        pytest.param(GOOD[:-30], 400, "truncated", id="half of one"),
        pytest.param(GOOD[:60] + b"?" * 40 + GOOD[100:], 400, "damaged", id="a damaged one"),
        pytest.param(GOOD[:-22] + b"PK\6\7" + b"\0" * 16 + GOOD[-22:], 400, "zip64", id="one of the zip64 form"),
        pytest.param(b"PK", 400, "truncated", id="next to nothing"),
    ],
)
def test_an_archive_that_cannot_be_taken_is_refused(server: ServerProcess, body: bytes, status: int, word: str):
    answer = server.segment(body, **ZIP)
    assert answer.status == status, answer.body
    assert word in answer.json["detail"]


def test_an_archive_that_lies_about_a_size_unpacks_no_further():
    bomb = packed(("a.png", b"\0" * (64 << 20))).replace(struct.pack("<I", 64 << 20), struct.pack("<I", 100))
    tracemalloc.start()
    try:
        with contextlib.suppress(Refused):
            assert unpack(bomb, 10, 1 << 20, lambda _: None)[0][1] == b"\0" * 100
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()

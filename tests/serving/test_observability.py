"""What an operator of the server sees: stages, runs, memory, exemplars, the access log."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from tests.serving.conftest import Serve
from tests.serving.pictures import cracked, encoded
from tests.serving.waiting import until

from crackseg_serving.batching import Run
from crackseg_serving.logs import AccessLog
from crackseg_serving.metrics import Metrics

GOOD = encoded(cracked()[0])
OPEN_METRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


def lines(share: float, statuses: list[int], caplog: pytest.LogCaptureFixture) -> list[int]:
    """The statuses that the access log tells of."""
    log = AccessLog(share)
    with caplog.at_level(logging.INFO, "crackseg.http"):
        for number, status in enumerate(statuses):
            log.write("POST", "/v1/segment", status, 0.01, str(number))
    return [record.__dict__["status"] for record in caplog.records]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.25, 250), (0.01, 10), (1.0, 1000)])
def test_of_the_good_requests_a_share_is_logged(share: float, expected: int, caplog: pytest.LogCaptureFixture):
    assert len(lines(share, [200] * 1000, caplog)) == pytest.approx(expected, abs=1)


def test_of_the_refused_requests_every_one_is_logged_and_uses_up_nobodys_share(caplog: pytest.LogCaptureFixture):
    found = lines(0.1, [429, 500] * 50 + [200] * 50, caplog)
    assert found.count(429) == found.count(500) == 50
    assert found.count(200) == pytest.approx(5, abs=1)


def test_stages_and_runs_are_counted_by_kind():
    metrics = Metrics()
    for stage in ("queue", "decode", "inference", "encode"):
        metrics.staged(stage, 0.02)
    metrics.ran(Run(4, 0.001, 0.02, wide=False))
    metrics.ran(Run(1, 0.001, 0.01, wide=True))
    text = metrics.exposition()[0].decode()
    for stage in ("queue", "decode", "inference", "encode"):
        assert f'crackseg_stage_duration_seconds_count{{stage="{stage}"}} 1.0' in text
    assert 'crackseg_run_duration_seconds_count{cores="one"} 1.0' in text
    assert 'crackseg_run_duration_seconds_count{cores="all"} 1.0' in text
    assert "crackseg_batch_size_sum 5.0" in text
    assert re.search(r"^process_resident_memory_bytes \d", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("request_id", "named"),
    [
        pytest.param("abc", ["abc"], id="an id"),
        pytest.param("0af7651916cd43dd:8448eb21-1_2.3/4+5=", ["0af7651916cd43dd:8448eb21-1_2.3/4+5="], id="a trace"),
        pytest.param("x" * 128, [], id="longer than OpenMetrics allows"),
        pytest.param('quo"te\\', [], id="signs that not every reader can read"),
        pytest.param("", [], id="none"),
    ],
)
def test_an_exemplar_names_the_request_for_who_accepts_them(request_id: str, named: list[str]):
    metrics = Metrics()
    metrics.answered("/v1/segment", 200, 0.03, request_id)
    plain, kind = metrics.exposition("text/plain")
    assert "text/plain" in kind
    assert b"request_id" not in plain
    text, kind = metrics.exposition(OPEN_METRICS["Accept"])
    assert "application/openmetrics-text" in kind
    exemplars = [
        sample.exemplar.labels["request_id"]
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.exemplar
    ]
    assert exemplars == named


@pytest.mark.serving
def test_a_served_request_leaves_its_id_in_the_log_and_in_the_metrics(serve: Serve, dark_model: Path):
    server = serve(MODEL_PATH=str(dark_model), ACCESS_LOG_SAMPLE="1").wait_ready()
    assert server.segment(GOOD, "?output=mask", **{"X-Request-Id": "mine"}).status == 200
    refused = server.segment(b"nothing", **{"X-Request-Id": "bad"})
    assert refused.status == 415
    until(lambda: len([line for line in server.lines if "request" in line]) == 2, "two lines of log")
    good, bad = (line for line in server.lines if "request" in line)
    assert (good["request"], good["status"], good["message"]) == ("mine", 200, "POST /v1/segment answered 200")
    assert (bad["request"], bad["status"], bad["reason"]) == ("bad", 415, "not-an-image")
    assert (bad["method"], bad["path"]) == ("POST", "/v1/segment")
    assert bad["problem"] == refused.json["detail"]
    answer = server.ask("GET", "/metrics", headers=OPEN_METRICS)
    assert 'request_id="mine"' in answer.body.decode()
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert server.metric("process_resident_memory_bytes") > 1 << 20
    assert server.metric('crackseg_stage_duration_seconds_count{stage="encode"}') >= 1


@pytest.mark.serving
def test_a_path_without_end_does_not_make_a_line_without_end(serve: Serve):
    server = serve().wait_ready()
    assert server.ask("GET", "/" + 50_000 * "a").status == 404
    until(lambda: any("request" in line for line in server.lines), "a line of log")
    (line,) = (line for line in server.lines if "request" in line)
    assert len(json.dumps(line)) < 2_000


@pytest.mark.serving
def test_without_a_sample_only_what_was_refused_is_logged(serve: Serve):
    server = serve().wait_ready()
    assert server.segment(GOOD, "?output=mask").status == 200
    assert server.segment(b"nothing").status == 415
    until(lambda: any("request" in line for line in server.lines), "a line of log")
    assert [line["status"] for line in server.lines if "request" in line] == [415]


def test_what_a_decoder_prints_of_bad_files_is_in_the_log_as_json_and_little_of_it(serve: Serve):
    """libpng complains of each empty note, and libjpeg of the pixels that are missing: to standard error, by themselves."""
    server = serve().wait_ready()
    notes = GOOD[:33] + b"\0\0\0\0tEXt\0\0\0\0" * 900 + GOOD[33:]
    photograph = encoded(cracked()[0], ".jpg")
    for _ in range(3):
        assert server.segment(notes).status == 200
        server.segment(photograph[: len(photograph) // 2] + b"\xff\xd9")
    until(lambda: any("tEXt" in line["message"] for line in server.lines), "what libpng says")
    assert server.stop() == 0
    assert all("level" in line for line in server.lines)
    assert len(server.lines) < 20

"""The benchmark's report: every figure in the table, every bar in the plot."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
from tests.bench.serving.report import markdown, plot

ROW = {
    "clients": 1,
    "rate": 71.5,
    "ratio": 0.97,
    "bareRate": 73.7,
    "p50": 29.25,
    "p99": 34.5,
    "cpu": 28.5,
    "bareCPU": 26.25,
    "clientCPU": 0.25,
    "pss": 126.0,
    "refused": 3,
    "errors": 0,
    "load": 1.0,
}


@pytest.fixture
def found() -> dict[str, Any]:
    kind = {"closed": [ROW, {**ROW, "clients": 8, "ratio": 0.5}], "bareLoneP50": 16.25}
    start = {"seconds": 0.5, "cpuSeconds": 0.4, "bareSeconds": 0.3, "bareCPUSeconds": 0.2, "idlePSS": 100.0}
    due = {**ROW, "share": 0.6, "due": 44.0, "dropped": 2}
    one = {"model": "unet", "start": start, "kinds": {"mask": kind}, "open": [due], "missing": ["grpc"]}
    at = {
        "date": "2026-01-01",
        "cores": 2,
        "processor": "a processor",
        "onnxruntime": "1",
        "device": "CPU",
        "load": 0.5,
    }
    return {"machine": at, "models": [one]}


def test_every_load_is_a_line_with_its_ratio_its_cpu_and_what_was_refused(found: dict[str, Any]):
    line = next(line for line in markdown(found).splitlines() if line.startswith("| mask | 1 |"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == [
        "mask",
        "1",
        "71.5",
        "0.97",
        "29.2",
        "34.5",
        "28.5",
        "26.2",
        "1.09",
        "0.25",
        "126",
        "3",
        "0",
        "1.00",
    ]


def test_what_was_not_measured_is_named(found: dict[str, Any]):
    assert "does not speak it: grpc" in markdown(found)


def test_a_load_without_an_answer_is_no_figure(found: dict[str, Any]):
    found["models"][0]["open"][0] |= {"p50": None, "p99": None}
    assert "| 60% | 44.0 | 71.5 | - | - | - | 2 | 0 |" in markdown(found)


def test_the_plot_has_a_bar_a_load_as_high_as_its_ratio(found: dict[str, Any]):
    root = ET.fromstring(plot(found))
    shapes = root.findall("{http://www.w3.org/2000/svg}rect")
    high, low = (float(shape.attrib["height"]) for shape in shapes[-2:])
    assert low / high == pytest.approx(0.5 / 0.97, abs=0.01)
    assert len(shapes) == 1 + 2 + 2  # the ground, the legend, the bars

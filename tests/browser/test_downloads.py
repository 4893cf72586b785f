"""What can be saved from the page is what the server answers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.browser.window import Window, until
from tests.serving.process import ServerProcess

Photograph = Callable[..., Path]
MAP = Path(__file__).parents[2] / "deploy/samples/photographs/map.jpg"
WORLD_FILE = "0.25\n0\n0\n-0.25\n500000.5\n5400000.5\n"


def numbers(table: str) -> list[list[Any]]:
    """A CSV file's rows; figures as such, for 12.0 and 12 are one."""

    def figure(text: str) -> Any:
        try:
            return float(text)
        except ValueError:
            return text

    return [[figure(text) for text in row] for row in csv.reader(io.StringIO(table))]


@pytest.fixture
def scaled(window: Window) -> Window:
    """A photograph with many cracks, and its scale."""
    window.give_scale("0.5")
    window.choose(MAP)
    window.wait()
    return window


@pytest.mark.parametrize("form", ["mask", "overlay"])
def test_pictures_are_the_servers_own(scaled: Window, server: ServerProcess, form: str):
    scaled.click(f"#one [data-form={form}]")
    assert scaled.downloaded(f"map.{form}.png") == server.segment(MAP.read_bytes(), f"?output={form}").body


def test_json_is_the_servers_answer(scaled: Window, server: ServerProcess):
    scaled.click("#one [data-form=json]")
    expected = server.segment(MAP.read_bytes(), "?output=json&millimetresPerPixel=0.5").json
    assert json.loads(scaled.downloaded("map.json")) == expected


def test_csv_has_the_servers_rows(scaled: Window, server: ServerProcess):
    scaled.click("#one [data-form=csv]")
    expected = server.segment(MAP.read_bytes(), "?output=csv&millimetresPerPixel=0.5").body.decode()
    assert numbers(scaled.downloaded("map.csv").decode()) == numbers(expected)


def test_geojson_is_the_servers_in_pixels(scaled: Window, server: ServerProcess):
    scaled.click("#one [data-form=geojson]")
    expected = server.segment(MAP.read_bytes(), "?output=geojson&millimetresPerPixel=0.5").json
    assert json.loads(scaled.downloaded("map.geojson")) == expected


def test_geojson_lies_where_a_world_file_beside_the_photograph_says(
    window: Window, photograph: Photograph, server: ServerProcess
):
    path = photograph("ortho/north.jpg")
    path.with_suffix(".jgw").write_text(WORLD_FILE)
    window.drop(path.parent)
    window.wait()
    assert window.text("notice") == ""
    window.click("#one [data-form=geojson]")
    found = json.loads(window.downloaded("ortho_north.geojson"))
    world = ",".join(WORLD_FILE.split())
    expected = server.segment(path.read_bytes(), f"?output=geojson&worldFile={world}").json
    assert found["placement"]["kind"] == "worldFile"
    assert found.keys() == expected.keys()
    for one, other in zip(found["features"], expected["features"], strict=True):
        assert one["properties"] == other["properties"]
        for ring, same in zip(one["geometry"]["coordinates"], other["geometry"]["coordinates"], strict=True):
            assert [tuple(point) for point in ring] == [pytest.approx(tuple(point), abs=1e-6) for point in same]


def test_all_photographs_together(window: Window, photograph: Photograph):
    paths = [photograph("a.png"), photograph('with, "signs".png', 300, 400)]
    window.choose(*paths)
    window.wait()
    assert until(window.element("all").is_displayed)
    for form in ("csv", "geojson", "json"):
        window.click(f"#all [data-form={form}]")
    rows = numbers(window.downloaded("cracks.csv").decode())
    assert [row[:2] for row in rows] == [["photograph", "crack"], ["a.png", 1.0], ['with, "signs".png', 1.0]]
    collection = json.loads(window.downloaded("cracks.geojson"))
    assert [one["properties"]["photograph"] for one in collection["features"]] == ["a.png", 'with, "signs".png']
    assert [one["id"] for one in collection["features"]] == [1, 2]
    assert [one["image"]["width"] for one in collection["photographs"]] == [320, 400]
    assert [one["name"] for one in json.loads(window.downloaded("cracks.json"))] == ["a.png", 'with, "signs".png']

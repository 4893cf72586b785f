"""Many photographs: folders, progress, refusals that are waited out, failures that hold nobody up, and cancelling."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from tests.browser.between import RETRY_AFTER, Between
from tests.browser.window import Window, until
from tests.serving.process import ServerProcess

Photograph = Callable[..., Path]


@pytest.fixture
def folder(photograph: Photograph) -> Path:
    """Three photographs, one of them further down, and what is none."""
    first = photograph("survey/2.png")
    photograph("survey/10.jpg", 300, 400)
    photograph("survey/lane 2/1.png")
    (first.parent / "notes.txt").write_text("no photograph")
    (first.parent / "cut.jpg").write_bytes((first.parent / "10.jpg").read_bytes()[:2000])
    return first.parent


def states(window: Window) -> list[str]:
    return list(window.lines().values())


def test_a_folder_is_worked_through_and_a_broken_file_holds_nobody_up(
    window: Window, folder: Path, server: ServerProcess
):
    window.drop(folder)
    window.wait()
    sentence = server.segment((folder / "cut.jpg").read_bytes()).json["detail"]
    lines = window.lines()
    assert list(lines) == ["survey/2.png", "survey/10.jpg", "survey/cut.jpg", "survey/lane 2/1.png"]
    assert lines.pop("survey/cut.jpg") == sentence
    assert all(line.startswith("1 crack, ") for line in lines.values())
    assert window.text("count") == "3 of 4 photographs done, 1 failed"
    assert window.text("notice") == "4 photographs added. 1 other file was left out."
    assert window.element("said").get_attribute("textContent") == "3 of 4 photographs done, 1 failed"
    assert window.element("bar").get_attribute("value") == "4"


def test_each_photograph_can_be_looked_at(window: Window, folder: Path):
    window.drop(folder)
    window.wait()
    window.click("#photographs li:nth-child(2) button")
    assert window.text("name") == "survey/10.jpg"
    assert window.text("origin").startswith("400 × 300 JPEG, by pavement 1.2.3 at 50 %")  # noqa: RUF001
    assert [one.text.split("\n")[0] for one in window.elements("[aria-current=true]")] == ["survey/10.jpg"]


def test_two_are_asked_at_once_and_progress_is_seen(blank: Window, between: Between, photograph: Photograph):
    window = blank.open(between.port)
    between.opened.clear()
    window.choose(*[photograph(f"{number}.png") for number in range(5)])
    until(lambda: between.inside == 2)
    assert states(window).count("looking for cracks …") == 2
    assert states(window).count("waiting") == 3
    assert window.text("count") == "0 of 5 photographs done"
    between.opened.set()
    window.wait()
    assert window.text("count") == "5 of 5 photographs done"
    assert (between.most, between.photographs) == (2, 5)


def test_a_busy_server_is_given_the_time_that_it_asks_for(blank: Window, between: Between, photograph: Photograph):
    window = blank.open(between.port)
    between.busy = 3
    window.choose(*[photograph(f"{number}.png") for number in range(4)])
    until(lambda: re.search(r"Continuing in \d s: the queue is full", window.text("count")))
    window.wait()
    assert window.text("count") == "4 of 4 photographs done"
    assert between.photographs == 4 + 3  # those refused, once more each


def test_nothing_is_tried_before_its_time(blank: Window, between: Between, photograph: Photograph):
    window = blank.open(between.port)
    between.busy = 2
    window.choose(photograph())
    window.wait()
    assert window.text("count") == "1 of 1 photograph done"
    assert [later - sooner > RETRY_AFTER - 0.01 for sooner, later in pairwise(between.times)] == [True, True]


def test_cancelling_calls_off_what_runs_and_what_waits(blank: Window, between: Between, photograph: Photograph):
    window = blank.open(between.port)
    between.opened.clear()
    window.choose(*[photograph(f"{number}.png") for number in range(4)])
    until(lambda: between.inside == 2)
    window.click("#cancel")
    until(lambda: states(window) == ["cancelled"] * 4)
    assert window.text("said") == "0 of 4 photographs done, 4 cancelled"
    between.opened.set()
    window.click("#again")
    until(lambda: window.text("count") == "4 of 4 photographs done")


def test_what_the_server_would_refuse_for_its_size_is_not_sent(
    blank: Window, tmp_path: Path, photograph: Photograph, server: ServerProcess
):
    limited = ServerProcess(tmp_path, **{**_same(server), "MAX_IMAGE_BYTES": "4096"})
    try:
        window = blank.open(limited.wait_ready().port)
        path = photograph("large.bmp")
        window.choose(path)
        window.wait()
        assert states(window) == ["The file is larger than the 4096 bytes that this server accepts."]
        assert limited.metric("crackseg_requests_in_flight") <= 1
    finally:
        limited.kill()


def _same(server: ServerProcess) -> dict[str, str]:
    """The settings of another server with the same model."""
    environment = Path(f"/proc/{server.process.pid}/environ").read_bytes().split(b"\0")
    found = dict(entry.decode().partition("=")[::2] for entry in environment)
    return {name: found[name] for name in ("MODEL_PATH", "MODEL_NAME")}


def test_clearing_brings_back_the_beginning(window: Window, photograph: Photograph):
    window.choose(photograph())
    window.wait()
    window.click("#clear")
    assert window.lines() == {}
    assert not window.element("result").is_displayed()
    assert window.script("return document.activeElement.id") == "choose"
    window.choose(photograph("other.png"))
    window.wait()
    assert list(window.lines()) == ["other.png"]


def test_a_folder_without_photographs_says_so(window: Window, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("nothing")
    window.drop(tmp_path / "empty")
    until(lambda: window.text("notice") == "None of the chosen files is a photograph.")
    assert window.lines() == {}

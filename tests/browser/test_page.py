"""One photograph on the page: dropped, shown, measured, looked at closely."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.browser.between import Between
from tests.browser.window import PHONE, Window, until
from tests.serving.models import DarkModel
from tests.serving.process import ServerProcess

Photograph = Callable[..., Path]
CRACK = (255, 56, 120)


def is_near(colour: tuple[int, int, int], other: tuple[int, int, int], most: int = 12) -> bool:
    return max(abs(a - b) for a, b in zip(colour, other, strict=True)) <= most


@pytest.fixture
def seen(window: Window, photograph: Photograph) -> Window:
    """One photograph of 320 x 256 pixels with its crack; the crack goes through the middle."""
    window.choose(photograph())
    window.wait()
    until(lambda: not is_near(window.pixel(window.middle()[0], 5), (118, 125, 132)), "the photograph is not drawn")
    return window


def test_the_page_says_which_model_answers(window: Window, server: ServerProcess):
    info = server.ask("GET", "/model/info").json
    assert [window.text(f"model-{part}") for part in ("name", "version", "digest")] == [
        info["name"],
        info["version"],
        info["digest"],
    ]
    assert window.driver.title == "pavement 1.2.3 – CrackSeg"  # noqa: RUF001


def test_nothing_comes_from_elsewhere(window: Window, photograph: Photograph):
    window.drop(photograph())
    window.wait()
    asked = window.script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    origin = window.script("return location.origin")
    assert {name.removeprefix(origin).partition("?")[0] for name in asked} == {"/model/info", "/v1/segment"}


def test_a_photograph_costs_one_request(between: Between, blank: Window, photograph: Photograph):
    blank.open(between.port).drop(photograph())
    blank.wait()
    until(lambda: blank.element("result").is_displayed())
    assert between.photographs == 1


def test_a_dropped_photograph_is_measured_as_the_server_measures_it(
    window: Window, photograph: Photograph, server: ServerProcess
):
    path = photograph()
    window.drop(path)
    window.wait()
    (crack,) = server.segment(path.read_bytes(), "?output=json").json["measurements"]["cracks"]
    assert list(window.lines()) == ["road.png"]
    assert window.lines()["road.png"].startswith("1 crack, ")
    assert window.column("Length (px)") == [f"{crack['lengthPixels']:.1f}"]
    assert window.column("Mean width (px)") == [f"{crack['meanWidthPixels']:.2f}"]
    assert "Severity" not in " ".join(window.texts("#cracks thead th"))


def test_millimetres_come_where_the_scale_is_given_also_afterwards(window: Window, photograph: Photograph):
    window.choose(photograph())
    window.wait()
    pixels = float(window.column("Length (px)")[0])
    assert not window.element("apply").is_displayed()
    window.give_scale("0,5")
    window.click("#apply")
    until(lambda: any("(mm)" in head for head in window.texts("#cracks thead th")))
    window.wait()
    assert float(window.column("Length (mm)")[0]) == pytest.approx(pixels / 2, abs=0.06)
    assert window.column("Severity") == ["Low"]
    assert "Crack density" in window.texts("#totals dt")


def test_each_figure_says_by_how_much_it_may_be_off(seen: Window, server: ServerProcess, photograph: Photograph):
    known = server.segment(photograph().read_bytes(), "?output=json").json["measurements"]
    crack = known["cracks"][0]
    assert seen.column("Length (px)", whole=True) == [f"{crack['lengthPixels']:.1f} ± {crack['lengthErrorPixels']:.1f}"]
    two_digits = float(f"{known['totalAreaErrorPixels']:.2g}")
    assert any(f"± {two_digits:,g} px²" in words for words in seen.texts("#totals dd"))


def test_a_scale_that_is_no_number_is_said_to_be_none(window: Window, photograph: Photograph):
    window.give_scale("half")
    assert window.element("scale").get_attribute("aria-invalid") == "true"
    assert "must be a number above 0" in window.text("scale-hint")
    window.choose(photograph())
    window.wait()
    assert window.column("Length (px)")


def test_the_overlay_is_as_opaque_as_the_slider_says(seen: Window):
    x, y = seen.middle()
    dark = (10, 10, 10)
    shares = []
    for percentage in (0, 50, 100):
        seen.script(
            "const s = document.getElementById('opacity'); s.value = arguments[0]; s.dispatchEvent(new Event('input'))",
            percentage,
        )
        shares.append((seen.pixel(x, y)[0] - dark[0]) / (CRACK[0] - dark[0]))
    assert shares == pytest.approx([0, 0.5, 1], abs=0.05)
    assert seen.text("opacity-value") == "100 %"


@pytest.mark.parametrize(
    ("mode", "on_the_crack", "beside_it"),
    [
        pytest.param("mask", (255, 255, 255), (0, 0, 0), id="the mask alone"),
        pytest.param("photograph", (10, 10, 10), (170, 170, 170), id="the photograph alone"),
    ],
)
def test_what_is_shown_can_be_chosen(seen: Window, mode: str, on_the_crack, beside_it):
    seen.click(f"[name=mode][value={mode}]")
    x, y = seen.middle()
    assert is_near(seen.pixel(x, y), on_the_crack)
    assert is_near(seen.pixel(x, 8), beside_it)


def test_zoom_by_buttons_keys_and_wheel(seen: Window):
    fitted = seen.percent
    seen.click("#in")
    assert seen.percent == pytest.approx(1.25 * fitted, abs=1)
    seen.click("#fit")
    assert seen.percent == fitted
    seen.element("stage").send_keys("+")
    assert seen.percent > fitted
    seen.element("stage").send_keys("0")
    assert seen.percent == fitted
    x, y = seen.on_screen(*seen.middle())
    seen.cdp("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=-400)
    until(lambda: seen.percent > fitted)
    seen.element("stage").send_keys("-" * 20)
    assert seen.percent == fitted  # never smaller than the stage


def test_arrows_move_what_is_larger_than_the_stage(seen: Window):
    seen.click("[name=mode][value=mask]")
    for _ in range(6):
        seen.click("#in")
    x, y = seen.middle()
    assert is_near(seen.pixel(x, y), (255, 255, 255))
    seen.element("stage").send_keys("\ue013" * 4)  # up
    assert is_near(seen.pixel(x, y), (0, 0, 0))


def test_what_is_looked_at_closely_stays_in_view_when_a_phone_is_turned(seen: Window):
    seen.click("[name=mode][value=mask]")
    for _ in range(6):
        seen.click("#in")
    for size in (PHONE, PHONE[::-1], PHONE):
        seen.resize(size, mobile=True)
        until(lambda: is_near(seen.pixel(*seen.middle()), (255, 255, 255)), f"the crack in the middle at {size}")


def test_two_fingers_zoom_on_a_phone(window: Window, photograph: Photograph):
    window.resize(PHONE, mobile=True)
    window.choose(photograph())
    window.wait()
    fitted = window.percent
    x, y = window.on_screen(*window.middle())

    def fingers(kind: str, apart: float) -> None:
        points = [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}] if apart else []
        window.cdp("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    fingers("touchStart", 20)
    for apart in (30, 40, 60):
        fingers("touchMove", apart)
    fingers("touchEnd", 0)
    until(lambda: window.percent > 2 * fitted)


def test_a_row_shows_its_crack_and_a_crack_its_row(seen: Window):
    x, y = seen.middle()
    assert not is_near(seen.pixel(x, y), (0, 224, 255))
    seen.click("#cracks tbody button")
    assert seen.element("cracks").find_element("css selector", "tbody tr").get_attribute("class") == "selected"
    edge = [seen.pixel(x, y + step) for step in range(-30, 30)]
    assert any(is_near(colour, (0, 224, 255)) for colour in edge)
    seen.click("#cracks tbody button")
    assert seen.elements("tr.selected") == []
    place = seen.on_screen(x, y)
    for kind in ("mousePressed", "mouseReleased"):
        seen.cdp("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)
    until(lambda: seen.elements("tr.selected"))
    assert seen.elements("tr.selected button")[0].get_attribute("aria-pressed") == "true"


def test_the_table_is_sorted_by_any_column(window: Window, tmp_path: Path):
    path = Path(__file__).parents[2] / "deploy/samples/photographs/map.jpg"
    window.choose(path)
    window.wait()
    lengths = [float(text.replace(",", "")) for text in window.column("Length")]
    assert len(lengths) > 3
    assert lengths == sorted(lengths, reverse=True)
    for expected, way in ((True, "descending"), (False, "ascending")):
        window.click("#cracks th[data-column=areaPixels] button")
        areas = [int(text.replace(",", "")) for text in window.column("Area")]
        assert areas == sorted(areas, reverse=expected)
        assert window.elements("[aria-sort]")[0].get_attribute("aria-sort") == way


def test_a_photograph_without_cracks_says_so(window: Window, tmp_path: Path):
    cv2.imwrite(str(tmp_path / "clean.png"), np.full((120, 160, 3), 180, np.uint8))
    window.choose(tmp_path / "clean.png")
    window.wait()
    assert window.lines()["clean.png"] == "no crack, 0 % of the picture"
    assert window.element("nothing").is_displayed()
    assert not window.element("scroller").is_displayed()


def test_what_the_browser_cannot_read_is_shown_as_the_server_draws_it(window: Window, photograph: Photograph):
    window.choose(photograph("scan.tiff"))
    window.wait()
    until(lambda: "as the server draws it" in window.text("origin"))
    x, _ = window.middle()
    until(lambda: is_near(window.pixel(x, 8), (170, 170, 170), 20))


def test_the_page_is_there_before_the_model_is(blank: Window, tmp_path: Path):
    """It says what is the matter, and asks again."""
    model = DarkModel(slow_nodes=20).save(tmp_path / "slow.onnx")
    server = ServerProcess(tmp_path, MODEL_PATH=str(model), MODEL_NAME="pavement")
    try:
        blank.driver.get(f"http://127.0.0.1:{server.port}/")
        until(lambda: blank.text("notice").startswith("the model is being loaded"))
        until(lambda: blank.text("model-name") == "pavement")
        assert not blank.element("notice").is_displayed()
    finally:
        server.kill()

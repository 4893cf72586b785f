"""The page for everyone: by keyboard, by screen reader, on a phone, in light and dark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from axe_core_python.selenium import Axe
from tests.browser.window import DESKTOP, ENTER, PHONE, TAB, Window, until

Photograph = Callable[..., Path]


def violations(window: Window) -> list[str]:
    """What axe finds wrong, rule by rule, with the elements."""
    found = Axe().run(window.driver)["violations"]
    return [f"{rule['id']}: {[node['html'][:120] for node in rule['nodes']]}" for rule in found]


@pytest.fixture
def broken(photograph: Photograph) -> Path:
    path = photograph("broken.png")
    path.write_text("no image")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [pytest.param(DESKTOP, id="desktop"), pytest.param(PHONE, id="phone")])
def test_axe_finds_nothing_wrong(
    window: Window, photograph: Photograph, broken: Path, scheme: str, size: tuple[int, int]
):
    window.scheme(scheme)
    window.resize(size, mobile=size == PHONE)
    assert violations(window) == []
    window.give_scale("none")
    window.choose(photograph(), broken, photograph("other.png"))
    window.wait()
    window.click("#cracks tbody button")
    assert violations(window) == []


def test_all_is_reached_by_keyboard_in_the_order_in_which_it_is_seen(window: Window, photograph: Photograph):
    window.choose(photograph("a.png"), photograph("b.png"))
    window.wait()
    reached = []
    window.script("document.activeElement.blur(); window.scrollTo(0, 0)")
    for _ in range(60):
        window.keys(TAB)
        reached.append(
            window.script(
                "const e = document.activeElement; return e.id || e.dataset.form || e.dataset.column || e.value || e.textContent"
            )
        )
        if reached[-1] == "Branches":
            break
    wanted = ["choose", "choose-folder", "scale", "clear", "a.png", "b.png", "overlay", "opacity", "in", "fit", "stage"]
    wanted += ["mask", "scroller", "Crack", "Length (px)", "Branches"]
    order = [next((at for at, name in enumerate(reached) if name.startswith(one)), None) for one in wanted]
    assert None not in order, (wanted, reached)
    assert order == sorted(order), (wanted, reached)


def test_a_crack_is_chosen_and_the_table_sorted_by_keyboard_alone(window: Window, photograph: Photograph):
    window.choose(photograph())
    window.wait()
    window.script("document.querySelector('#cracks tbody button').focus()")
    window.keys(ENTER)
    assert len(window.elements("tr.selected")) == 1
    window.element("stage").send_keys("\ue00c")  # escape
    assert window.elements("tr.selected") == []
    window.script("document.querySelector('#cracks thead button').focus()")
    window.keys(ENTER)
    assert window.elements("[aria-sort=descending]")[0].text.startswith("Crack")


def test_focus_is_seen(window: Window):
    window.script("document.getElementById('choose').focus()")
    window.keys(TAB)
    style = window.script(
        "const s = getComputedStyle(document.activeElement); return [s.outlineStyle, parseFloat(s.outlineWidth)]"
    )
    assert style[0] == "solid"
    assert style[1] >= 2


def test_a_screen_reader_hears_names_values_and_news(window: Window, photograph: Photograph):
    window.choose(photograph())
    window.wait()
    window.cdp("Accessibility.enable")
    nodes = window.cdp("Accessibility.getFullAXTree")["nodes"]
    spoken = {
        (node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node.get("ignored")
    }
    assert ("progressbar", "1 of 1 photograph done") in spoken
    assert ("image", f"road.png: {window.lines()['road.png']}") in spoken
    assert ("slider", "Opacity 60 %") in spoken or ("slider", "Opacity") in spoken
    assert {role for role, _ in spoken} >= {
        "main",
        "banner",
        "contentinfo",
        "table",
        "columnheader",
        "rowheader",
        "status",
    }
    assert window.text("said").startswith("road.png: 1 crack")
    assert window.element("said").get_attribute("aria-live") == "polite"


@pytest.mark.parametrize("width", [320, 360, 768])
def test_nothing_is_wider_than_the_screen(window: Window, photograph: Photograph, width: int):
    window.resize((width, 740), mobile=True)
    for step in ("empty", "full"):
        if step == "full":
            window.choose(photograph("a photograph with a long name from kilometre 12 of the eastern lane.png"))
            window.wait()
        assert window.script("return document.documentElement.scrollWidth") <= width, step


def test_fingers_find_their_targets_on_a_phone(window: Window, photograph: Photograph):
    window.resize(PHONE, mobile=True)
    window.choose(photograph(), photograph("other.png"))
    window.wait()
    small = window.script(
        """return [...document.querySelectorAll("button, input[type=range], .modes span")].filter((e) => e.offsetParent)
        .map((e) => [e.textContent, e.getBoundingClientRect()]).filter(([, box]) => box.width < 32 || box.height < 32)
        .map(([text]) => text)"""
    )
    assert small == []


def test_choosing_on_a_phone_brings_the_photograph_into_view(window: Window, photograph: Photograph):
    window.resize(PHONE, mobile=True)
    window.choose(*[photograph(f"{number}.png") for number in range(4)])
    window.wait()
    window.click("#photographs li:nth-child(3) button")
    until(lambda: 0 <= window.script("return document.getElementById('name').getBoundingClientRect().top") < 400)


@pytest.mark.parametrize(("scheme", "bright"), [("light", True), ("dark", False)])
def test_the_page_follows_the_scheme_of_the_system(window: Window, scheme: str, bright: bool):  # noqa: FBT001 - a table
    window.scheme(scheme)
    colour = window.script("return getComputedStyle(document.documentElement).backgroundColor")
    red, green, blue = (int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))
    assert (red + green + blue > 384) is bright

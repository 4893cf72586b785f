"""The page in a real Chromium, as a person would use it: dropped files, pressed keys, moved fingers, and what is seen then."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

T = TypeVar("T")
DEADLINE = 120.0
DESKTOP, PHONE = (1280, 900), (360, 740)


def until(found: Callable[[], T], what: str = "") -> T:
    """Poll until `found()` is truthy, and return it."""
    give_up = time.monotonic() + DEADLINE
    while not (value := found()):
        assert time.monotonic() < give_up, what or "waited in vain"
        time.sleep(0.02)
    return value


class Window:
    """One window on the page of a server; `downloads` is where it puts files."""

    def __init__(self, driver: Chrome, downloads: Path) -> None:
        self.driver, self.downloads = driver, downloads
        self.cdp("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
        self.resize(DESKTOP)
        self.scheme("light")

    def cdp(self, command: str, **arguments: Any) -> Any:
        """A command of the browser's own protocol: what a person does, and a driver has no words for."""
        return self.driver.execute_cdp_cmd(command, arguments)

    def script(self, text: str, *arguments: Any) -> Any:
        return self.driver.execute_script(text, *arguments)

    def resize(self, size: tuple[int, int], *, mobile: bool = False) -> None:
        width, height = size
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self.cdp("Emulation.setTouchEmulationEnabled", enabled=mobile)

    def scheme(self, name: str) -> None:
        """`light` or `dark`."""
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def open(self, port: int) -> Window:
        """The page of the server at this port, when it has said which model it serves."""
        self.driver.get_log("browser")
        self.driver.get(f"http://127.0.0.1:{port}/")
        until(lambda: self.text("model-name") != "–", "the page has not heard of the model")  # noqa: RUF001
        return self

    def element(self, name: str) -> WebElement:
        return self.driver.find_element(By.ID, name)

    def elements(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, name: str) -> str:
        return self.element(name).get_attribute("textContent") or ""

    def texts(self, selector: str) -> list[str]:
        found: list[str] = self.script(
            "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent.trim())", selector
        )
        return found

    def click(self, selector: str) -> None:
        (one,) = self.elements(selector)
        one.click()

    def keys(self, *keys: str) -> None:
        """Press keys wherever the focus is."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def choose(self, *paths: Path) -> None:
        """As with the button: what its dialogue would give."""
        self.element("files").send_keys("\n".join(map(str, paths)))

    def drop(self, *paths: Path) -> None:
        """Drag files or folders from the desktop onto the page, and let go."""
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.cdp("Input.dispatchDragEvent", type=kind, x=200, y=200, data=data)

    def give_scale(self, text: str) -> None:
        field = self.element("scale")
        field.clear()
        field.send_keys(text)

    def wait(self) -> Window:
        """Until nothing is being worked on."""
        until(lambda: self.element("progress").is_displayed() and not self.element("cancel").is_displayed())
        return self

    def lines(self) -> dict[str, str]:
        """What the list says of each photograph, by name."""
        return dict(zip(self.texts("#photographs .file"), self.texts("#photographs .state"), strict=True))

    def column(self, name: str, *, whole: bool = False) -> list[str]:
        """A column of the table, from top to bottom, by its place in the table's head; `whole`: with the figures' errors."""
        place = next(at for at, head in enumerate(self.texts("#cracks thead th"), 1) if head.startswith(name))
        cells = self.texts(f"#cracks tbody tr > :nth-child({place})")
        return cells if whole else [cell.partition(" ±")[0] for cell in cells]

    def pixel(self, x: float, y: float) -> tuple[int, int, int]:
        """The colour on the canvas at a point of the stage (CSS pixels), as painted last."""
        found: Sequence[int] = self.driver.execute_async_script(
            """const [x, y, done] = arguments;
            requestAnimationFrame(() => requestAnimationFrame(() => {
              const canvas = document.getElementById("canvas");
              done([...canvas.getContext("2d").getImageData(x * devicePixelRatio, y * devicePixelRatio, 1, 1).data]);
            }));""",
            x,
            y,
        )
        return found[0], found[1], found[2]

    def middle(self) -> tuple[float, float]:
        """The middle of the stage, in its own CSS pixels."""
        width, height = self.script(
            "const s = document.getElementById('stage'); return [s.clientWidth, s.clientHeight]"
        )
        return width / 2, height / 2

    def on_screen(self, x: float, y: float) -> tuple[float, float]:
        """A point of the stage as one of the window, brought into view."""
        left, top = self.script(
            "const s = document.getElementById('stage'); s.scrollIntoView({block: 'center'});"
            "const box = s.getBoundingClientRect(); return [box.left, box.top]"
        )
        return left + x, top + y

    @property
    def percent(self) -> int:
        """How large the photograph is shown."""
        return int(self.text("zoom").removesuffix(" %"))

    def downloaded(self, name: str) -> bytes:
        """A file that the page has handed over, whole."""
        path = self.downloads / name

        def whole() -> bool:
            return path.is_file() and path.stat().st_size > 0 and not path.with_name(f"{name}.crdownload").exists()

        until(whole, f"{name} was not downloaded; there is {[one.name for one in self.downloads.iterdir()]}")
        return path.read_bytes()

    def complaints(self) -> list[str]:
        """What the browser complained of: scripts and styles that broke, or were not let in."""
        log = self.driver.get_log("browser")
        return [one["message"] for one in log if one["level"] == "SEVERE" and one["source"] != "network"]


TAB, ENTER = Keys.TAB, Keys.ENTER

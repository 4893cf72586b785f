"""Chromium, a server to ask, and pictures for it. On a Debian without Chromium it is installed; elsewhere the tests are skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from tests.browser.between import Between
from tests.browser.window import Window
from tests.serving.models import DarkModel
from tests.serving.pictures import cracked, encoded
from tests.serving.process import ServerProcess

from crackseg_local import packages
from crackseg_local.errors import LocalClusterError

FLAGS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """One headless Chromium for all tests, with a profile of its own."""
    try:
        packages.ensure(packages.BROWSER_PROGRAMS)
    except LocalClusterError as error:
        pytest.skip(f"needs Chromium and its driver: {error}")
    options = ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = Chrome(options=options, service=ChromeService("/usr/bin/chromedriver"))
    try:
        yield started
    finally:
        started.quit()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The real server with a model that calls what is dark a crack."""
    folder = tmp_path_factory.mktemp("page")
    model = DarkModel(metadata={"crackseg.version": "1.2.3", "crackseg.output.activation": "sigmoid"})
    running = ServerProcess(folder, MODEL_PATH=str(model.save(folder / "dark.onnx")), MODEL_NAME="pavement")
    try:
        yield running.wait_ready()
    finally:
        running.kill()


@pytest.fixture
def blank(driver: Chrome, tmp_path: Path) -> Window:
    """A window that shows nothing yet."""
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    return Window(driver, downloads)


@pytest.fixture
def window(blank: Window, server: ServerProcess) -> Iterator[Window]:
    """A window on the server's page. At the end nothing has broken in it."""
    yield blank.open(server.port)
    assert blank.complaints() == []


@pytest.fixture
def between(server: ServerProcess) -> Iterator[Between]:
    """The server, with somebody before it who can hold and refuse requests."""
    with Between(server.port) as running:
        yield running


@pytest.fixture
def photograph(tmp_path: Path) -> Callable[..., Path]:
    """Makes a picture with one drawn crack."""

    def make(name: str = "road.png", height: int = 256, width: int = 320) -> Path:
        path = tmp_path / "photographs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(cracked(height, width)[0], path.suffix))
        return path

    return make

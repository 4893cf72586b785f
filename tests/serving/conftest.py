"""Servers, models and pictures for the tests of the inference server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.serving.models import DarkModel
from tests.serving.process import ServerProcess

Serve = Callable[..., ServerProcess]


@pytest.fixture(scope="session")
def dark_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model like the project's own, with metadata."""
    metadata = {"crackseg.name": "dark", "crackseg.version": "1.2.3", "crackseg.output.activation": "sigmoid"}
    return DarkModel(metadata=metadata).save(tmp_path_factory.mktemp("model") / "dark.onnx")


@pytest.fixture(scope="session")
def model(dark_model: Path) -> bytes:
    """Its bytes."""
    return dark_model.read_bytes()


@pytest.fixture(scope="session")
def server(dark_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that all tests may ask, and none may change."""
    running = ServerProcess(tmp_path_factory.mktemp("server"), MODEL_PATH=str(dark_model), MODEL_NAME="pavement")
    try:
        yield running.wait_ready()
    finally:
        running.kill()


@pytest.fixture
def serve(dark_model: Path, tmp_path: Path) -> Iterator[Serve]:
    """Starts servers of the test's own; gone with the test."""
    started: list[ServerProcess] = []

    def start(**settings: str) -> ServerProcess:
        started.append(ServerProcess(tmp_path, **{"MODEL_PATH": str(dark_model), "MODEL_NAME": "pavement", **settings}))
        return started[-1]

    yield start
    for one in started:
        one.kill()

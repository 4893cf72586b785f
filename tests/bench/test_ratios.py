"""The server costs little beside the model: CPU time a request, as a ratio to a bare loop's of the same minute.

What is held is CPU, not a rate: a rate also tells of all that a shared machine does meanwhile (the rates' ratios are
printed). The margins are wide: they catch a copy too many in a hot path, not a few percent. The figures themselves
come from `make bench-serving`.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.bench.serving.measure import Bench, Figures
from tests.bench.serving.programs import ROOT, Served, environment

pytestmark = [pytest.mark.bench, pytest.mark.serving]

ROUNDS, SECONDS, CLIENTS = 3, 1.0, 8

Running = tuple[Bench, Served]
Print = Callable[[str, float, float], None]


def started(model: str, folder: Path) -> Iterator[Running]:
    bench = Bench(model, folder, SECONDS)
    served, _ = bench.start()
    try:
        yield bench, served
    finally:
        served.stop()


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    yield from started("unet", tmp_path_factory.mktemp("unet"))


@pytest.fixture(scope="module")
def near_free(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    yield from started("near-free", tmp_path_factory.mktemp("near-free"))


def rows(running: Running, name: str) -> list[Figures]:
    """Loads with the bare loop before and after each, once the answers are known to be the same."""
    bench, served = running
    kind = bench.kinds[name]
    bench.check(served, kind)
    found = bench.closed(served, kind, [CLIENTS] * ROUNDS)
    assert [row["errors"] for row in found] == [0] * ROUNDS, [row["lastError"] for row in found]
    return found


def held(running: Running, kind: str, most: float, print_ratio: Print) -> None:
    found = rows(running, kind)
    rate = statistics.median(row["ratio"] for row in found)
    cpu = statistics.median(row["cpu"] / row["bareCPU"] for row in found)
    print_ratio(f"{running[0].name}, {kind}", rate, cpu)
    assert cpu <= most


@pytest.mark.parametrize("kind", ["mask", "v2-binary"])
def test_a_request_costs_little_more_than_the_model(unet: Running, kind: str, print_ratio: Print):
    held(unet, kind, 2.0, print_ratio)


@pytest.mark.parametrize(
    ("kind", "most"),
    [
        pytest.param("mask", 2.5, id="a photograph to a mask"),
        pytest.param("v2-binary", 5.0, id="a tensor in bytes"),
    ],
)
def test_a_request_costs_little_when_the_model_costs_nothing(
    near_free: Running, kind: str, most: float, print_ratio: Print
):
    held(near_free, kind, most, print_ratio)


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1:80/", "http://example.org/", "http://192.168.1.1:8080/v1/segment", "http://[2001:db8::1]/"]
)
def test_only_this_machine_is_ever_loaded(url: str, tmp_path: Path):
    (tmp_path / "body").write_bytes(b"x")
    command = [sys.executable, "-m", "tests.bench.serving.load", url, str(tmp_path / "body")]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "only an address of this machine" in done.stderr

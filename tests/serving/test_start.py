"""What a start imports, in which order, and what memory it leaves behind: the server as a process of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.serving.conftest import Serve
from tests.serving.models import TABLE_BYTES, DarkModel
from tests.serving.pictures import cracked, encoded
from tests.serving.process import ServerProcess
from tests.serving.waiting import until

pytestmark = pytest.mark.serving

#: What clients, settings of other rooms, tests and old code bring, and no first answer needs.
NEVER = {"obstore", "pydantic", "onnx", "jsonschema", "requests", "scipy", "unittest", "pyvips", "yaml", "torch"}
#: 590 on 2026-11-21; more of a library's parts are a library's business, a hundred more are a mistake.
MOST = 650
TABLES = 512  # 32 MiB of weights, in pieces as models have them: the C library keeps such when they are freed
MOST_TIMES = 2.6  # the weights: once for each of two sessions


@pytest.fixture
def imported(serve: Serve) -> list[str]:
    """The modules that are there when the server is ready, and has answered for one photograph, in the order of their import."""
    server = serve(PYTHONPROFILEIMPORTTIME="1").wait_ready()
    assert server.segment(encoded(cracked()[0])).status == 200
    assert server.stop() == 0
    lines = (str(line["message"]) for line in server.lines)
    return [found[1] for line in lines if (found := re.fullmatch(r"import time:[ \d]+\|[ \d]+\| *(\S+)", line))]


def test_a_start_imports_nothing_that_the_first_answer_does_not_need(imported: list[str]):
    assert not {name.partition(".")[0] for name in imported} & NEVER
    assert 100 < len(set(imported)) < MOST


def test_the_model_is_opened_before_what_answers_is_imported(imported: list[str]):
    loading = imported.index("crackseg_serving.runtime.loading")

    assert loading < min(imported.index(name) for name in ("asyncio", "prometheus_client", "uvicorn"))


def anonymous(server: ServerProcess) -> int:
    """Bytes of memory that are the process's own, and no file's."""
    rollup = Path(f"/proc/{server.process.pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) << 10 for line in rollup.splitlines() if line.startswith("Anonymous:"))


def test_what_loading_took_is_given_back(serve: Serve, dark_model: Path, tmp_path: Path):
    heavy = DarkModel(tables=TABLES).save(tmp_path / "heavy.onnx")
    light, loaded = (serve(MODEL_PATH=str(path)).wait_ready() for path in (dark_model, heavy))
    until(
        lambda: anonymous(loaded) - anonymous(light) < MOST_TIMES * TABLES * TABLE_BYTES, "what loading took given back"
    )

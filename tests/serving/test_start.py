"""What a start imports, in which order, what memory it leaves behind, and how that is kept: the server as a process of its own."""

from __future__ import annotations

import base64
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnx
import pytest
from onnx import helper
from tests.serving.conftest import Serve
from tests.serving.models import TABLE_BYTES, DarkModel, slowed
from tests.serving.pictures import cracked, encoded
from tests.serving.process import REPOSITORY, ServerProcess
from tests.serving.waiting import until

pytestmark = pytest.mark.serving

#: What clients, settings of other rooms, tests and old code bring, and no first answer needs.
NEVER = {"obstore", "pydantic", "onnx", "jsonschema", "requests", "scipy", "unittest", "pyvips", "yaml", "torch"}
#: 590 on 2026-11-21; more of a library's parts are a library's business, a hundred more are a mistake.
MOST = 650
TABLES = 512  # 32 MiB of weights, in pieces as models have them: the C library keeps such when they are freed
FAULTS = 40  # a request; a hundred or more with the C library left alone
MOST_TIMES = 2.6  # the weights: once for each of two sessions


#: Python imports this by itself: on a signal the process writes down what it has imported.
TELLS = """
import os, signal, sys

def tell(*_):
    with open("{file}.part", "w") as file:
        print(*sys.modules, sep="\\n", file=file)
    os.rename("{file}.part", "{file}")

signal.signal(signal.SIGUSR1, tell)
"""


@pytest.fixture
def imported(serve: Serve, tmp_path: Path) -> list[str]:
    """The modules that are there when the server has answered for one photograph, in the order in which their imports ended."""
    told = tmp_path / "imported"
    (tmp_path / "sitecustomize.py").write_text(TELLS.format(file=told))
    server = serve(PYTHONPATH=f"{tmp_path}:{REPOSITORY / 'serving'}").wait_ready()
    assert server.segment(encoded(cracked()[0])).status == 200
    server.process.send_signal(signal.SIGUSR1)
    until(told.exists, "told what is imported")
    return told.read_text().split()


def test_a_start_imports_nothing_that_the_first_answer_does_not_need(imported: list[str]):
    assert not {name.partition(".")[0] for name in imported} & NEVER
    assert not {f"crackseg_serving.runtime.{name}" for name in ("card", "choice")} & set(imported)
    assert 100 < len(imported) < MOST


def test_the_model_is_being_opened_before_what_answers_is_imported(imported: list[str]):
    places = [imported.index(name) for name in ("crackseg_serving.runtime.loading", "asyncio", "crackseg_serving.life")]

    assert places == sorted(places)


def anonymous(server: ServerProcess) -> int:
    """Bytes of memory that are the process's own, and no file's."""
    rollup = Path(f"/proc/{server.process.pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) << 10 for line in rollup.splitlines() if line.startswith("Anonymous:"))


def brought(model: onnx.ModelProto, path: Path) -> Path:
    """A file with a quick variant of a model that is slow and large, and with a photograph to check it by."""
    data = {"variant.int8": DarkModel().build().SerializeToString(), "check.photographs": encoded(cracked()[0], ".jpg")}
    props = {f"crackseg.{key}": base64.b64encode(value).decode() for key, value in data.items()}
    helper.set_model_props(model, props)
    onnx.save(model, path)
    return path


def test_what_loading_took_is_given_back(serve: Serve, dark_model: Path, tmp_path: Path):
    heavy = DarkModel(tables=TABLES).save(tmp_path / "heavy.onnx")
    bundle = brought(DarkModel(tables=TABLES).build(), tmp_path / "bundle.onnx")
    light, loaded, bundled = (serve(MODEL_PATH=str(path)).wait_ready() for path in (dark_model, heavy, bundle))
    for server in (loaded, bundled):
        until(
            lambda server=server: anonymous(server) - anonymous(light) < MOST_TIMES * TABLES * TABLE_BYTES,
            "what loading took given back",
        )


def test_what_was_tried_and_not_chosen_is_given_back(serve: Serve, dark_model: Path, tmp_path: Path):
    bundle = brought(slowed(DarkModel(tables=TABLES).build()), tmp_path / "bundle.onnx")
    light = serve(MODEL_PATH=str(dark_model)).wait_ready()
    chosen = serve(MODEL_PATH=str(bundle), PRECISION="Auto").wait_ready()

    assert chosen.ask("GET", "/model/info").json["precision"] == "INT8"
    until(lambda: anonymous(chosen) - anonymous(light) < TABLES * TABLE_BYTES // 2, "the file itself given back")


def page_faults(server: ServerProcess) -> int:
    """How many pages the process has been given so far."""
    return int(Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()[7])


def test_a_request_finds_the_memory_of_the_one_before(serve: Serve):
    server, photograph = serve().wait_ready(), encoded(cracked(512, 512)[0])

    def ask(times: int) -> None:
        with ThreadPoolExecutor(4) as clients:
            answers = clients.map(lambda _: server.segment(photograph, "?output=json"), range(times))
        assert {answer.status for answer in answers} == {200}

    def few() -> bool:
        before = page_faults(server)
        ask(100)
        faults = (page_faults(server) - before) / 100
        print(f"{faults:.0f} page faults a request")
        return faults < FAULTS

    # More requests at once than ever before take more memory than ever before: on a busy machine that comes late.
    until(few, "requests that find what those before them had")

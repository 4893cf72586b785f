"""What the handbook says of exporting a model, done as it says: the file is served right."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.serving.models import DarkModel
from tests.serving.pictures import cracked, encoded, mask_of, overlap

from crackseg_serving.admission import Ticket
from crackseg_serving.engine import Engine
from crackseg_serving.metrics import Metrics
from crackseg_serving.runtime import loading
from crackseg_serving.segmentation import Output, segment
from crackseg_serving.settings import from_environment

pytestmark = pytest.mark.serving

PAGE = Path(__file__).parents[2] / "docs" / "server.md"


def examples() -> list[str]:
    """The page's programs in Python: exporting, and writing the metadata."""
    found = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(found) == 2
    return found


def served(path: Path) -> Engine:
    engine = Engine(from_environment({"MODEL_PATH": str(path), "TILE_SIZE": "256", "TILE_OVERLAP": "32"}), Metrics())
    engine.use(loading.load(engine.settings))
    return engine


def test_metadata_written_as_the_handbook_says_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    made = DarkModel(head="softmax").build()
    made.graph.node.pop()  # logits of two classes
    made.graph.node[-1].output[:] = ["mask"]
    onnx.save(made, "exported.onnx")
    exec(examples()[1], {})
    model = served(tmp_path / "model.onnx").model
    assert (model.name, model.version) == ("pavement", "1.0.0")
    form = model.signature
    assert (form.input_format.mean, form.input_format.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert (form.output_format.activation, form.output_format.crack_class) == ("none", 1)


def test_a_network_exported_from_torch_as_the_handbook_says_is_served_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("onnxscript", reason="torch's exporter needs onnxscript")
    monkeypatch.chdir(tmp_path)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)

    class Network(torch.nn.Module):
        """Dark is crack; halved and enlarged again beside it, as a U-Net does."""

        def forward(self, image):
            dark = (0.4 - (image * std + mean).mean(1, keepdim=True)) * 40
            deep = torch.nn.functional.max_pool2d(dark, 4)
            joined = dark + 0 * torch.nn.functional.interpolate(deep, scale_factor=4)
            return torch.cat([-joined, joined], 1)

    for program in examples():
        exec(program, {"network": Network()})
    assert not list(tmp_path.glob("*.data"))
    engine = served(tmp_path / "model.onnx")
    for size in ((300, 410), (85, 127)):
        picture, truth = cracked(*size)
        ticket, data = Ticket(time.monotonic() + 60), encoded(np.asarray(picture))
        answer = engine.start(lambda d=data, t=ticket: segment(engine, d, Output.MASK, None, t), ticket).result(60)
        assert overlap(mask_of(answer), truth) > 0.8

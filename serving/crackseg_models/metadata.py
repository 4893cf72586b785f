"""What a model file says about itself: the `crackseg.` keys in ONNX's metadata, written by `export`, read by `prediction`.

Standard library only. The server reads the same keys; `docs/sample-model.md` lists them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

PREFIX = "crackseg."


@dataclass(frozen=True)
class Metadata:
    """The contract of one model file; the defaults are those of the sample models."""

    name: str
    version: str
    training_data: str
    metrics: Mapping[str, object] = field(default_factory=dict)
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.25, 0.25, 0.25)
    multiple: int = 16
    threshold_percent: int = 50

    def properties(self) -> dict[str, str]:
        """As ONNX stores it: strings by key."""
        values = {
            "name": self.name,
            "version": self.version,
            "input.layout": "NCHW",
            "input.channels": "RGB",
            "input.range": "0..1",
            "input.mean": ",".join(map(str, self.mean)),
            "input.std": ",".join(map(str, self.std)),
            "input.multiple": str(self.multiple),
            "output.activation": "sigmoid",
            "classes": "crack",
            "threshold_percent": str(self.threshold_percent),
            "training.data": self.training_data,
            "metrics": json.dumps(self.metrics, sort_keys=True),
        }
        return {PREFIX + key: value for key, value in values.items()}


def parse(properties: Mapping[str, str]) -> Metadata:
    """Read the keys back; ValueError names a key that is missing."""
    missing = [key for key in ("name", "version") if PREFIX + key not in properties]
    if missing:
        raise ValueError(f"the model's metadata have no {PREFIX}{missing[0]}: it was not exported by crackseg_models")
    text = {key.removeprefix(PREFIX): value for key, value in properties.items() if key.startswith(PREFIX)}
    return Metadata(
        name=text["name"],
        version=text["version"],
        training_data=text.get("training.data", ""),
        metrics=json.loads(text.get("metrics", "{}")),
        mean=tuple(map(float, text.get("input.mean", "0,0,0").split(","))),
        std=tuple(map(float, text.get("input.std", "1,1,1").split(","))),
        multiple=int(text.get("input.multiple", "1")),
        threshold_percent=int(text.get("threshold_percent", "50")),
    )

"""docs/server.md says what the server takes and gives: each variable and each metric once, and nothing that there is not."""

from __future__ import annotations

import re
from collections import UserDict
from pathlib import Path

from crackseg_serving.http.routes import ROUTES
from crackseg_serving.metrics import Metrics
from crackseg_serving.settings import from_environment
from crackseg_serving.sources.__main__ import _read

PAGE = (Path(__file__).parents[2] / "docs/server.md").read_text(encoding="utf-8")
CREDENTIALS = re.compile(r"AWS_|HTTP_")


class Asked(UserDict[str, str]):
    """An environment that knows what it was asked for."""

    def __init__(self, **variables: str) -> None:
        super().__init__(variables)
        self.names: set[str] = set()

    def get(self, name: str, default: str = "") -> str:
        self.names.add(name)
        return super().get(name, default)


def first_cells(heading: str) -> list[str]:
    """What stands in code type in the first column of the tables below a heading."""
    section = re.split(rf"^## {heading}$", PAGE, flags=re.MULTILINE)[1].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.+?) \|", section, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def test_each_setting_of_the_server_is_listed_once():
    env = Asked()
    from_environment(env)
    assert sorted(first_cells("Settings")) == sorted(env.names)


def test_each_bound_of_the_init_container_is_listed_once():
    env = Asked(MODEL_URI="file:///model.onnx")
    _read(env)
    listed = [name for name in first_cells("The init container") if name.startswith("MODEL_")]
    assert sorted(listed) == sorted(env.names - {"MODEL_URI", "MODEL_PATH", "MODEL_SHA256"})
    assert [name for name in ("MODEL_URI", "MODEL_PATH", "MODEL_SHA256") if f"`{name}`" not in PAGE] == []


def test_each_metric_is_listed_once():
    families = [family.name for family in Metrics().registry.collect() if family.name.startswith("crackseg_")]
    listed = [name.removesuffix("_total") for name in first_cells("Metrics and logs") if name.startswith("crackseg_")]
    only_on_cards = {"crackseg_device_memory_bytes"}
    assert sorted(listed) == sorted({*families, *only_on_cards})


def test_each_path_without_a_model_in_it_is_listed():
    fixed = {path for path in ROUTES if "{" not in path}
    assert [path for path in sorted(fixed) if f"`{path}`" not in PAGE] == []

"""The wheel has what is no Python: the page's parts, and gRPC's interface."""

from __future__ import annotations

import zipfile
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[2]


def test_the_wheel_has_every_file_of_the_server(tmp_path: Path):
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("crackseg_serving/")}
    folder = ROOT / "serving"
    files = (path for path in (folder / "crackseg_serving").rglob("*") if path.is_file())
    assert packed == {str(path.relative_to(folder)) for path in files if "__pycache__" not in path.parts}
    assert "crackseg_serving/page/page.html" in packed

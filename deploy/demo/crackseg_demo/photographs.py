"""The photographs that the demo sends: rendered ones, whose cracks are known exactly, or a folder of the user's own.

A folder holds pictures, or `images/` and `masks/` with the same names (PNG, white is crack); beside a rendered picture lie
its mask and its truth. Where there is a mask, the answer is compared with it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crackseg_demo import answers, terminal
from crackseg_demo.load import Target
from crackseg_demo.terminal import StepFailed, done, say

_MASK = ".mask.png"
_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp"}


@dataclass(frozen=True)
class Photograph:
    """One picture and what is known about it."""

    name: str
    content: bytes
    mask: bytes | None = None
    truth: dict[str, Any] | None = None


def from_folder(folder: Path) -> list[Photograph]:
    """The pictures of a folder, sorted by name, with what lies beside them; raises StepFailed where there are none."""
    pictures = folder / "images" if (folder / "images").is_dir() else folder
    paths = sorted(path for path in pictures.glob("*") if path.suffix.lower() in _SUFFIXES)
    paths = [path for path in paths if not path.name.endswith(_MASK)]
    if not paths:
        raise StepFailed(f"{folder} has no pictures ({', '.join(sorted(_SUFFIXES))}), nor has {folder / 'images'}.")
    return [_photograph(path, folder) for path in paths]


def _photograph(path: Path, folder: Path) -> Photograph:
    masks = (folder / "masks" / f"{path.stem}.png", path.with_name(path.stem + _MASK))
    mask = next((mask.read_bytes() for mask in masks if mask.exists()), None)
    truth = path.with_suffix(".json")
    return Photograph(path.stem, path.read_bytes(), mask, json.loads(truth.read_text()) if truth.exists() else None)


def show(target: Target, picture: Photograph, out: Path) -> float | None:
    """Send one picture, say what came back beside what is known, and save its overlay; IoU with the true mask, if known."""
    agreement = None
    content = picture.content
    found = answers.measurements(target, content)
    overlay = out / f"{picture.name}.overlay.png"
    overlay.write_bytes(answers.segment(target, content, "overlay"))
    length, area = found["totalLengthPixels"], found["totalAreaPixels"]
    width = area / length if length else 0.0
    cracks = f"{found['crackCount']} cracks" if found["crackCount"] != 1 else "1 crack"
    say(f"{terminal.paint(picture.name, 'bold')}: {cracks}, {length:.0f} px long, {width:.1f} px wide on average")
    if picture.truth:
        say(f"  {'':<14}{'measured':>12}{'truth':>12}", "dim")
        for words, value, key in (
            ("length, px", length, "length"),
            ("mean width, px", width, "mean_width"),
            ("area, px²", area, "area"),
        ):
            say(f"  {words:<14}{value:>12.1f}{picture.truth[key]:>12.1f}")
    if picture.mask:
        mask = answers.mask(answers.segment(target, content, "mask"))
        agreement = answers.intersection_over_union(mask, answers.mask(picture.mask))
        say(f"  agreement with the true mask (IoU): {agreement:.2f}")
    done(f"overlay: {overlay}")
    return agreement

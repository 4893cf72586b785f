"""The `quantize` command's steps: calibrate, make, compare, and keep the file only where the masks stay the same.

Called by the command line. Which photographs are compared is the training's rule: those that it may never see.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from crackseg_models.agreement import Agreement, Picture, Served, compare
from crackseg_models.bundle import refuse_bundle
from crackseg_models.files import Order, write_all
from crackseg_models.photographs import held_back
from crackseg_models.quantization import Tensor, describe, fp16, int8
from crackseg_models.report import FIRST_SEED

CALIBRATION = 48  # pictures: more of them move the scales little
CALIBRATION_SEED = 1_000_000
RENDERED = 24  # pictures to compare on where no photographs are given


@dataclass(frozen=True)
class Variant:
    """What to make: a model in another precision, of which `minimum` (0..1) of the mask must agree on every set."""

    source: Path
    out: Path
    precision: str
    version: str
    minimum: float


@dataclass(frozen=True)
class Pictures:
    """What to calibrate with, and what to compare on, by set."""

    calibration: Sequence[Picture]
    check: Mapping[str, Sequence[Picture]]


def photographs(folders: Sequence[tuple[Path, Path | None]]) -> Pictures:
    """From folders of photographs, each with a folder of masks or none: those held back are compared, others calibrate."""
    calibration: list[list[Picture]] = []
    check: dict[str, list[Picture]] = {}
    for images, masks in folders:
        truths = {path.stem: path for path in masks.iterdir()} if masks else {}
        found = [Picture(path, truths.get(path.stem)) for path in sorted(images.iterdir()) if path.is_file()]
        apart = [picture for picture in found if held_back(picture.image)]
        if not apart or len(apart) == len(found):
            raise ValueError(f"{images} has {len(found)} photographs, too few to hold some back from the calibration")
        check[images.parent.name if images.name == "images" else images.name] = apart
        calibration.append([picture for picture in found if not held_back(picture.image)])
    share = -(-CALIBRATION // len(calibration))
    return Pictures([picture for folder in calibration for picture in folder[:share]], check)


def rendered(folder: Path, workers: int = 1) -> Pictures:
    """Rendered pictures, written into `folder`: what there is to go by without photographs."""
    calibration = write_all(Order(CALIBRATION, CALIBRATION_SEED, (512, 512)), folder / "calibration", workers)
    return Pictures([Picture(path) for path in calibration], rendered_check(folder, workers))


def rendered_check(folder: Path, workers: int = 1) -> dict[str, list[Picture]]:
    """Those of them to compare on."""
    check = write_all(Order(RENDERED, FIRST_SEED, (512, 512)), folder / "check", workers)
    return {"rendered": [_with_mask(path) for path in check]}


def make(variant: Variant, pictures: Pictures) -> Iterator[tuple[str, Agreement]]:
    """Make the file and compare it, set by set. Raises ValueError, and leaves no file, where a set is below the minimum."""
    refuse_bundle(variant.source)
    part = variant.out.with_suffix(".part")
    try:
        source = Served(variant.source)
        if variant.precision == "INT8":
            int8(variant.source, part, _tensors(source, pictures.calibration))
        else:
            fp16(variant.source, part)
        describe(part, variant.source, variant.version, variant.precision, {})
        other = Served(part)
        found: dict[str, Agreement] = {}
        for name, check in pictures.check.items():
            found[name] = compare(source, other, check)
            yield name, found[name]
        low = [name for name, figures in found.items() if figures.agreement < variant.minimum]
        if low:
            raise ValueError(
                f"{variant.out} is not written: on {', '.join(low)} less than {variant.minimum:.3f} of the mask agrees with "
                f"{variant.source}; calibrate with more photographs of the kind that will be asked about, or stay with FP32"
            )
        agreement = {name: figures.rounded() for name, figures in found.items()}
        describe(part, variant.source, variant.version, variant.precision, agreement)
        part.replace(variant.out)
    finally:
        part.unlink(missing_ok=True)


def _tensors(source: Served, pictures: Sequence[Picture]) -> Iterator[Tensor]:
    for picture in pictures:
        yield from source.tensors(picture)


def _with_mask(image: Path) -> Picture:
    return Picture(image, image.parents[1] / "masks" / f"{image.stem}.png")

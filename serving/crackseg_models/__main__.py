"""`python -m crackseg_models`: render, train, export, quantize, bundle, report, bad. Arguments in, files and tables out; decides nothing."""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from crackseg_models.report import Example

SAMPLES = Path("deploy/samples")


class Commands(Protocol):
    """What argparse returns for sub-commands, as far as it is used here."""

    def add_parser(self, name: str, *, help: str) -> argparse.ArgumentParser:  # noqa: A002 - argparse's word
        """A new command."""
        ...


def _render(options: argparse.Namespace) -> None:
    from crackseg_models.files import Order, write_all

    order = Order(options.count, options.seed, (options.height, options.width))
    for path in write_all(order, options.out, options.workers):
        print(path, flush=True)


def _train(options: argparse.Namespace) -> None:
    from crackseg_models.files import Order, write_all
    from crackseg_models.photographs import pairs
    from crackseg_models.training import Plan, train

    if len(options.images) != len(options.masks):
        raise ValueError("give one --masks folder for every --images folder")
    sources = [pairs(images, masks) for images, masks in zip(options.images, options.masks, strict=True)]
    held_back = {
        images.parent.name: [p for p in s if p.held_back] for images, s in zip(options.images, sources, strict=True)
    }
    kept = [[pair for pair in source if not pair.held_back] for source in sources]
    shares = [(1 - options.rendered_share) / len(kept)] * len(kept) if kept else []
    pool = options.out.parent / "rendered"
    done = list(write_all(Order(options.rendered, options.seed, (448, 448), 97), pool, options.threads))
    if done:
        drawn = pairs(pool / "images", pool / "masks")
        apart = min(30, len(drawn) // 2)
        held_back["rendered"], kept = drawn[:apart], [*kept, drawn[apart:]]
        shares.append(1 - sum(shares))
    plan = Plan(options.minutes, options.batch, options.side, options.rate, options.threads, options.seed)
    train(kept, [share / sum(shares) for share in shares], {k: v for k, v in held_back.items() if v}, plan, options.out)


def _export(options: argparse.Namespace) -> None:
    from crackseg_models.export import describe, export
    from crackseg_models.metadata import Metadata

    plain = Metadata("pavement", options.version, options.training_data)
    export(options.weights, options.out, plain)
    metrics = {str(row["set"]): row for row in _rows([options.out], options)}
    for row in metrics.values():
        del row["model"], row["set"], row["scale"]
    describe(options.out, Metadata("pavement", options.version, options.training_data, metrics))


def _quantize(options: argparse.Namespace) -> None:
    from crackseg_models.quantize import Variant, make, photographs, rendered

    if options.masks and len(options.images) != len(options.masks):
        raise ValueError("give one --masks folder for every --images folder, or none")
    name = f"{options.model.stem}-{options.precision.lower()}.onnx"
    out = options.out or options.model.with_name(name)
    version = options.version or f"{_version(options.model)}-{options.precision.lower()}"
    variant = Variant(options.model, out, options.precision, version, options.minimum_agreement)
    with tempfile.TemporaryDirectory() as folder:
        masks = options.masks or [None] * len(options.images)
        folders = list(zip(options.images, masks, strict=True))
        pictures = photographs(folders) if folders else rendered(Path(folder), options.workers)
        print(f"{'set':<12}{'pictures':>10}{'agreement':>11}{'IoU before':>12}{'IoU after':>11}", flush=True)
        for name, figures in make(variant, pictures):
            before, after = (f"{iou:.4f}" for iou in figures.iou) if figures.iou else ("-", "-")
            print(f"{name:<12}{figures.pictures:>10}{figures.agreement:>11.4f}{before:>12}{after:>11}", flush=True)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB, {options.model.stat().st_size / 1e6:.1f} MB before")


def _bundle(options: argparse.Namespace) -> None:
    from crackseg_models.bundle import bundle
    from crackseg_models.quantize import photographs, rendered_check

    with tempfile.TemporaryDirectory() as folder:
        folders = [(images, None) for images in options.images]
        check = photographs(folders).check if folders else rendered_check(Path(folder), options.workers)
        bundle(options.model, options.variants, check, options.out, Path(folder))
    print(
        f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, {options.model.stat().st_size / 1e6:.1f} MB before"
    )


def _version(path: Path) -> str:
    from crackseg_models.agreement import Served

    found = Served(path).model.signature.metadata.version
    if not found:
        raise ValueError(f"{path} says no version of its own: give the new file's with --version")
    return found


def _rows(models: list[Path], options: argparse.Namespace) -> list[dict[str, object]]:
    from crackseg_models.report import rows

    return list(rows(models, _sets(options), [1]))


def _sets(options: argparse.Namespace) -> "dict[str, list[Example]]":
    from crackseg_models.report import kept_apart, rendered

    folder = options.photographs or os.environ.get("CRACKSEG_PHOTOGRAPHS")
    sets = kept_apart(Path(folder), everything=getattr(options, "everything", False)) if folder else {}
    if not folder:
        print("no photographs: name a folder with --photographs or CRACKSEG_PHOTOGRAPHS", file=sys.stderr)
    return {**sets, **({"rendered": rendered(options.rendered)} if options.rendered else {})}


def _report(options: argparse.Namespace) -> None:
    from crackseg_models.report import lines, rows, table

    models = options.models or sorted(SAMPLES.glob("*.onnx"))
    if not models:
        raise ValueError(f"no model: give paths, or run where {SAMPLES} is")
    found = rows(models, _sets(options), options.scales)
    for line in (lines if options.json else table)(found):
        print(line, flush=True)


def _tiles(options: argparse.Namespace) -> None:
    from crackseg_models.tiles import rows

    models = options.models or sorted(SAMPLES.glob("*.onnx"))
    for line in rows(models, _sets(options), options.sizes):
        print(line, flush=True)


def _bad(options: argparse.Namespace) -> None:
    from crackseg_models.bad import write

    for path in write(options.good, options.out):
        print(path)


def _add_render(commands: Commands) -> None:
    command = commands.add_parser("render", help="make pictures of pavement with known cracks")
    command.set_defaults(run=_render)
    command.add_argument("--count", type=int, default=1)
    command.add_argument("--seed", type=int, default=0, help="seed of the first picture; the next ones count up")
    command.add_argument("--width", type=int, default=512)
    command.add_argument("--height", type=int, default=512)
    command.add_argument("--workers", type=int, default=1)
    command.add_argument("--out", type=Path, required=True)


def _add_train(commands: Commands) -> None:
    command = commands.add_parser("train", help="train on folders of images and masks, and on rendered pictures")
    command.set_defaults(run=_train)
    command.add_argument("--images", type=Path, action="append", default=[], help="may be given several times")
    command.add_argument("--masks", type=Path, action="append", default=[], help="one for every --images")
    command.add_argument("--rendered", type=int, default=1500, help="how many pictures to render for the training")
    command.add_argument("--rendered-share", type=float, default=0.35, help="share of crops from rendered pictures")
    command.add_argument("--minutes", type=float, default=60)
    command.add_argument("--batch", type=int, default=8)
    command.add_argument("--side", type=int, default=224, help="side of a crop in pixels, a multiple of 16")
    command.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    command.add_argument("--threads", type=int, default=2)
    command.add_argument("--seed", type=int, default=1_000_000)
    command.add_argument("--out", type=Path, required=True, help="weights (.pt); continued from if they are there")


def _add_export(commands: Commands) -> None:
    command = commands.add_parser("export", help="weights to a model file with measured figures in its metadata")
    command.set_defaults(run=_export)
    command.add_argument("--weights", type=Path, required=True)
    command.add_argument("--version", required=True)
    command.add_argument("--training-data", required=True, help="one line for people")
    command.add_argument("--photographs", type=Path)
    command.add_argument("--rendered", type=int, default=40)
    command.add_argument("--out", type=Path, required=True)


def _add_quantize(commands: Commands) -> None:
    command = commands.add_parser("quantize", help="a faster file of a model, kept only where its masks stay the same")
    command.set_defaults(run=_quantize)
    command.add_argument("model", type=Path)
    command.add_argument("--precision", choices=("INT8", "FP16"), default="INT8", help="INT8: processors; FP16: cards")
    command.add_argument("--images", type=Path, action="append", default=[], help="photographs; default: rendered ones")
    command.add_argument("--masks", type=Path, action="append", default=[], help="one for every --images, or none")
    command.add_argument("--minimum-agreement", type=float, default=0.98, help="intersection over union of both masks")
    command.add_argument("--workers", type=int, default=1, help="that render pictures")
    command.add_argument("--version", help="default: the model's own with -int8 or -fp16")
    command.add_argument("--out", type=Path, help="default: beside the model, as NAME-int8.onnx")


def _add_bundle(commands: Commands) -> None:
    command = commands.add_parser(
        "bundle", help="one file of a model, other precisions of it, and photographs to check by"
    )
    command.set_defaults(run=_bundle)
    command.add_argument("model", type=Path)
    command.add_argument("variants", type=Path, nargs="*", help="made of it by quantize")
    command.add_argument("--images", type=Path, action="append", default=[], help="photographs; default: rendered ones")
    command.add_argument("--workers", type=int, default=1, help="that render pictures")
    command.add_argument("--out", type=Path, required=True)


def _add_report(commands: Commands) -> None:
    command = commands.add_parser("report", help="IoU and F1 on pictures that no training saw")
    command.set_defaults(run=_report)
    command.add_argument("models", type=Path, nargs="*", help=f"default: all of {SAMPLES}")
    command.add_argument("--photographs", type=Path, help="default: CRACKSEG_PHOTOGRAPHS")
    command.add_argument(
        "--everything", action="store_true", help="all photographs, where the models never saw the folder"
    )
    command.add_argument("--rendered", type=int, default=40)
    command.add_argument("--scales", type=float, nargs="+", default=[1.0])
    command.add_argument("--json", action="store_true")


def _add_tiles(commands: Commands) -> None:
    command = commands.add_parser("tiles", help="what skipping empty tiles loses in recall and gains in speed")
    command.set_defaults(run=_tiles)
    command.add_argument("models", type=Path, nargs="*", help=f"default: all of {SAMPLES}")
    command.add_argument("--photographs", type=Path, help="default: CRACKSEG_PHOTOGRAPHS")
    command.add_argument("--everything", action="store_true", help="all photographs, not only those held back")
    command.add_argument("--rendered", type=int, default=0)
    command.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512], help="of a tile, in pixels")


def _add_bad(commands: Commands) -> None:
    command = commands.add_parser("bad", help="make bad versions, to see what a rollout does with them")
    command.set_defaults(run=_bad)
    command.add_argument(
        "--good", type=Path, default=SAMPLES / "pavement-1.0.0.onnx", help="the model that is cut short"
    )
    command.add_argument("--out", type=Path, required=True)


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(prog="crackseg_models", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    for add in (_add_render, _add_train, _add_export, _add_quantize, _add_bundle, _add_report, _add_tiles, _add_bad):
        add(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 2 for input that it cannot use, with a sentence about it."""
    options = parser().parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError) as error:
        print(f"crackseg_models: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

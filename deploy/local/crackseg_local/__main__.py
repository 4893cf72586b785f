"""The command line: `python3 -m crackseg_local COMMAND`, called by the Makefile and by people."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from crackseg_local import cluster, images, othercluster, programs, volumes
from crackseg_local.errors import LocalClusterError
from crackseg_local.progress import step


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="crackseg_local", description="A real Kubernetes on this machine.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("up", help="bring the cluster up, or repair it")
    commands.add_parser("down", help="take the cluster away and leave the machine as it was")
    commands.add_parser("status", help="say what runs")
    commands.add_parser(
        "build", help="build the project's images (GPU=1: the GPU's serving image); no cluster is needed"
    )
    commands.add_parser("images", help="build the project's images and load them (GPU=1: the GPU's serving image)")
    load = commands.add_parser("load", help="load an image into every node")
    load.add_argument("image", help="an image archive, or the name of an image that buildah has")
    volume = commands.add_parser("volume", help="make a persistent volume of a folder's files, and claim it")
    volume.add_argument("claim", help="NAMESPACE/NAME of the PersistentVolumeClaim")
    volume.add_argument("folder", help="the folder whose files it holds")
    commands.add_parser("bin", help="print the folder of the built programs")
    build = commands.add_parser("programs", help="build programs that are missing, and print their folder")
    build.add_argument("name", nargs="*", default=list(programs.CLUSTER), help=", ".join(programs.ALL))
    return parser.parse_args()


def _up() -> None:
    kind = othercluster.chosen()
    if kind == "local":
        cluster.up()
    else:
        othercluster.up(kind)


def _down() -> None:
    kind = othercluster.chosen()
    if kind == "local":
        cluster.down()
    else:
        othercluster.down(kind)


def _gpu() -> bool:
    return os.environ.get("GPU") == "1"


def _build() -> list[Path]:
    return [images.build(image) for image in images.project_images(gpu=_gpu())]


def _images() -> None:
    kind = othercluster.chosen()
    if kind != "local":
        othercluster.load_images(kind, gpu=_gpu())
        return
    archives = _build()
    nodes = cluster.running().nodes
    with step("loading the images into the nodes"):
        for archive in archives:
            images.load_archive(archive, nodes)


def _commands(arguments: argparse.Namespace) -> dict[str, Callable[[], object]]:
    return {
        "up": _up,
        "down": _down,
        "status": lambda: print(cluster.status()),
        "build": _build,
        "images": _images,
        "load": lambda: images.load(arguments.image, cluster.running().nodes),
        "volume": lambda: volumes.create(cluster.running(), arguments.claim, arguments.folder),
        "bin": lambda: print(programs.bin_folder()),
        "programs": lambda: print(programs.ensure(arguments.name)),
    }


def main() -> int:
    """Run one command; a problem is printed as a sentence, and the exit code is 1."""
    arguments = _arguments()
    try:
        _commands(arguments)[arguments.command]()
    except LocalClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

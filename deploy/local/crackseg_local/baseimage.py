"""The base image that the project's Dockerfiles start from, made of Debian packages where no registry is reachable.

Used by `images`. It carries the name of the public image, so the Dockerfiles are the same everywhere: `python3.11` lies
in /usr/local/bin, pip installs without complaint, apt-get works.
"""

import shutil
import subprocess
from pathlib import Path

from crackseg_local import archive, packages, teardown, toolchain
from crackseg_local.command import run
from crackseg_local.lock import locked
from crackseg_local.paths import cache_folder
from crackseg_local.progress import step

REFERENCE = "docker.io/library/python:3.11-slim-bookworm"
_SUITE = "bookworm"
_PACKAGES = "ca-certificates,python3,python3-venv,python3-pip"
_LINKS = {"python3.11": "/usr/bin/python3.11", "python3": "python3.11", "python": "python3", "pip": "/usr/bin/pip3"}
_UNWANTED = ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")


def ensure() -> Path:
    """The archive of the base image; made once, in about a minute."""
    target = cache_folder() / "images" / f"python-3.11-slim-{_SUITE}.tar"
    if not target.exists():
        packages.ensure(packages.IMAGE_PROGRAMS)
        with locked(cache_folder() / "base.lock", "makes the base image"):
            if not target.exists():
                with step("making the base image from Debian packages"):
                    _make(target)
    return target


def image_config() -> dict[str, object]:
    """The settings of the public image that Dockerfiles rely on."""
    environment = ["PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]
    return {
        "architecture": toolchain.architecture(),
        "os": "linux",
        "config": {"Env": environment, "Cmd": ["python3"]},
    }


def _make(target: Path) -> None:
    root = cache_folder() / "images" / "base.unfinished"
    layer = root.with_suffix(".tar")
    _discard(root)
    root.mkdir(parents=True)
    advice = "Is Debian's package archive reachable? Try: apt-get update"
    command: list[str | Path] = [
        "nice",
        "-n",
        "5",
        "debootstrap",
        "--variant=minbase",
        f"--include={_PACKAGES}",
        _SUITE,
        root,
    ]
    run([*command, *_mirror()], advice=advice)
    _finish(root)
    run(["tar", "--numeric-owner", "--one-file-system", "-C", root, "-cf", layer, "."])
    archive.write(target, REFERENCE, layer, image_config())
    layer.unlink()
    _discard(root)


def _discard(root: Path) -> None:
    """Remove an unfinished tree, in which a debootstrap that was killed leaves its mounts."""
    for point in teardown.mounts_below(root):
        run(["umount", "--lazy", point])
    shutil.rmtree(root, ignore_errors=True)


def _mirror() -> list[str]:
    """The mirror that this machine's apt uses, where the machine runs the same Debian."""
    if f"VERSION_CODENAME={_SUITE}" not in Path("/etc/os-release").read_text():
        return []
    described = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", f"Codename: {_SUITE}", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.split()[:1]


def _finish(root: Path) -> None:
    """Make it look like the public image: Python in /usr/local/bin, free use of pip, nothing needless."""
    for name, goal in _LINKS.items():
        link = root / "usr" / "local" / "bin" / name
        link.unlink(missing_ok=True)
        link.symlink_to(goal)
    for marker in (root / "usr" / "lib").glob("python3*/EXTERNALLY-MANAGED"):
        marker.unlink()
    for folder in _UNWANTED:
        shutil.rmtree(root / folder, ignore_errors=True)
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "etc" / "resolv.conf").unlink(missing_ok=True)
    for device in (root / "dev").iterdir():
        if not device.is_dir():
            device.unlink()

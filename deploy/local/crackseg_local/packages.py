"""The Debian packages that the local cluster and tests need, installed when one of their programs is missing.

Used by everything that starts a program which is not built here. A machine that is not a Debian is told what to install.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from crackseg_local.command import run
from crackseg_local.errors import LocalClusterError
from crackseg_local.lock import locked
from crackseg_local.paths import cache_folder
from crackseg_local.progress import step

# program (or file) -> the Debian package that brings it
PACKAGES = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "mount": "mount",
    "socat": "socat",
    "ethtool": "ethtool",
    "openssl": "openssl",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "pip3": "python3-pip",
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf": "fonts-dejavu-core",
}
CLUSTER_PROGRAMS = (
    "containerd",
    "ctr",
    "runc",
    "/usr/lib/cni/bridge",
    "iptables",
    "conntrack",
    "ip",
    "nsenter",
    "mount",
    "socat",
    "ethtool",
    "openssl",
)
IMAGE_PROGRAMS = ("buildah", "debootstrap")
BROWSER_PROGRAMS = (
    "chromium",
    "chromedriver",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
)  # for tests of the page
_SYSTEM_FOLDERS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def is_installed(program: str) -> bool:
    """Whether a program is on the path (or in the system's folders, which a user's path may lack)."""
    if program.startswith("/"):
        return Path(program).exists()
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_FOLDERS}") is not None


def missing_packages(programs: Sequence[str]) -> list[str]:
    """The packages of the programs that are not there, each once."""
    return sorted({PACKAGES[program] for program in programs if not is_installed(program)})


def ensure(programs: Sequence[str]) -> None:
    """Install what is missing.

    Raises LocalClusterError where that is impossible, naming the packages.
    """
    if missing_packages(programs):
        with locked(cache_folder() / "packages.lock", "installs Debian packages"):
            _install(programs, missing_packages(programs))


def _install(programs: Sequence[str], wanted: Sequence[str]) -> None:
    if not wanted:
        return  # by the one that was waited for
    names = " ".join(wanted)
    if shutil.which("apt-get") is None:
        raise LocalClusterError(
            f"These programs are missing: {', '.join(p for p in programs if not is_installed(p))}. This machine has no "
            f"apt-get, so install by hand what Debian calls: {names}"
        )
    if os.geteuid() != 0:
        raise LocalClusterError(f"Packages are missing. Install them with: sudo apt-get install {names}")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    advice = f"Try by hand: apt-get update && apt-get install {names}"
    with step(f"installing Debian packages: {names}"):
        run(["apt-get", "update", "-qq"], env=quiet, advice=advice)
        run(["apt-get", "install", "-qq", "-y", "--no-install-recommends", *wanted], env=quiet, advice=advice)
    still = [program for program in programs if not is_installed(program)]
    if still:
        raise LocalClusterError(f"apt-get installed {names}, and still there is no {', '.join(still)}. {advice}")

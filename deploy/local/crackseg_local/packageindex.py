"""How this machine reaches the Python package index, so that image builds reach it the same way.

Many companies put a certificate authority of their own in between, or a mirror. A build that does not know it fails with
CERTIFICATE_VERIFY_FAILED. What is found here is mounted into the build and stays out of the image. Used by `images`.
"""

import configparser
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

SYSTEM_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_KEYS = ("cert", "index-url", "extra-index-url", "trusted-host", "proxy")


def configuration_files() -> list[Path]:
    """The files that pip reads for every user and for this one; a later one wins."""
    home = Path.home()
    return [Path("/etc/pip.conf"), home / ".pip" / "pip.conf", home / ".config" / "pip" / "pip.conf"]


def settings(environment: Mapping[str, str], files: Sequence[Path]) -> dict[str, str]:
    """What pip is told here: the files' `[global]` section, then the environment's PIP_ variables."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(files)
    found = dict(parser["global"]) if parser.has_section("global") else {}
    for key in _KEYS:
        value = environment.get(f"PIP_{key.upper().replace('-', '_')}")
        if value:
            found[key] = value
    return {key: found[key] for key in _KEYS if key in found}


def build_mounts(found: Mapping[str, str], folder: Path) -> list[str]:
    """The `--volume` arguments for a build; none where pip needs nothing special. Writes a pip.conf into `folder`."""
    if not found:
        return []
    inside = dict(found)
    mounts = []
    if "cert" in inside:
        mounts.append(f"{inside['cert']}:{SYSTEM_BUNDLE}:ro")
        inside["cert"] = SYSTEM_BUNDLE
    lines = "\n".join(f"{key} = {value}" for key, value in inside.items())
    pip_conf = folder / "pip.conf"
    pip_conf.write_text(f"[global]\n{lines}\n")
    pip_conf.chmod(0o600)
    return [argument for mount in (*mounts, f"{pip_conf}:/etc/pip.conf:ro") for argument in ("--volume", mount)]


def current() -> dict[str, str]:
    """The settings of this machine and user."""
    return settings(os.environ, configuration_files())

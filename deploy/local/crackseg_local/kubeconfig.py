"""Kubeconfig files, written as JSON (which is YAML), with keys and tokens inside so that a file can be carried alone.

Used by the control plane for every component and user.
"""

import base64
import json
from pathlib import Path

from crackseg_local import files
from crackseg_local.pki import Pair


def render(server: str, authority: Path, user: dict[str, str], *, namespace: str = "default") -> str:
    """A kubeconfig of one cluster, one user and one context, all called `crackseg`."""
    cluster = {"server": server, "certificate-authority-data": _encoded(authority)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "crackseg", "cluster": cluster}],
        "users": [{"name": "crackseg", "user": user}],
        "contexts": [
            {"name": "crackseg", "context": {"cluster": "crackseg", "user": "crackseg", "namespace": namespace}}
        ],
        "current-context": "crackseg",
    }
    return json.dumps(document, indent=1) + "\n"


def certificate_user(pair: Pair) -> dict[str, str]:
    """A user who logs in with a client certificate."""
    return {"client-certificate-data": _encoded(pair.certificate), "client-key-data": _encoded(pair.key)}


def write(path: Path, text: str) -> Path:
    """Write a kubeconfig that only its owner can read."""
    return files.write(path, text, mode=0o600)


def _encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()

"""The model store of the demo and the tests: a small pod that serves a folder over HTTP, filled through kubectl.

It works on any cluster: files go in by `kubectl exec` from standard input, so that no volume, bucket or registry is asked of it.
"""

from __future__ import annotations

import string
from pathlib import Path

from crackseg_demo.kubectl import Kubectl

FOLDER = Path(__file__).resolve().parent.parent
_RECEIVE = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read())"


def start_store(kubectl: Kubectl, serving_image: str) -> None:
    """Start the store in kubectl's namespace and wait until it answers."""
    kubectl.apply(string.Template((FOLDER / "store.yaml").read_text()).substitute(SERVING_IMAGE=serving_image))
    kubectl("rollout", "status", "deployment/models", "--timeout=300s")


def put(kubectl: Kubectl, name: str, content: bytes) -> None:
    """Put a file into the store."""
    kubectl("exec", "--stdin", "deployment/models", "--", "python", "-c", _RECEIVE, f"/srv/{name}", stdin=content)

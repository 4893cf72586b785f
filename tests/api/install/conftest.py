"""The programs that render and a control plane that judges what they rendered."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from crackseg_local import programs
from crackseg_local.controlplane import ControlPlane

ROOT = Path(__file__).parents[3]
NAMESPACE = "crackseg-system"
CHART = ROOT / "deploy" / "helm" / "crackseg-operator"

Render = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="session")
def tools() -> Path:
    return programs.ensure(["helm", "kubectl"])


def _documents(*command: str | Path) -> list[dict[str, Any]]:
    text = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True, cwd=ROOT).stdout
    return [document for document in yaml.safe_load_all(text) if document]


@pytest.fixture(scope="session")
def helm(tools: Path) -> Render:
    """Render the chart: helm("replicas=2")."""

    def render(*settings: str) -> list[dict[str, Any]]:
        options = [f"--set={setting}" for setting in settings]
        # A helm built from its module assumes a very old Kubernetes where it has no cluster to ask.
        version = "--kube-version=1.34.0"
        return _documents(
            tools / "helm", "template", "crackseg-operator", CHART, f"--namespace={NAMESPACE}", version, *options
        )

    return render


@pytest.fixture(scope="session")
def kustomize(tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Render a folder of deploy/kustomize, with components: kustomize("namespaced", "high-availability")."""

    def render(folder: str = "", *components: str) -> list[dict[str, Any]]:
        copy = tmp_path_factory.mktemp("kustomize")
        shutil.copytree(ROOT / "deploy" / "kustomize", copy / "base")
        overlay = {
            "namespace": NAMESPACE,
            "resources": [f"base/{folder}".rstrip("/")],
            "components": [f"base/components/{component}" for component in components],
        }
        (copy / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
        return _documents(tools / "kubectl", "kustomize", copy)

    return render


@pytest.fixture(scope="session")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane() as running:
        yield running

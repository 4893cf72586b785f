"""The chart and the plain manifests describe the same objects."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.api

CASES = [
    pytest.param([], ("",), id="as it comes"),
    pytest.param(["watch=OwnNamespace"], ("namespaced",), id="one namespace"),
    pytest.param(["replicas=2"], ("", "high-availability"), id="two replicas"),
    pytest.param(["networkPolicy.enabled=true"], ("", "network-policy"), id="a network policy"),
    pytest.param(["serviceMonitor.enabled=true"], ("", "service-monitor"), id="a service monitor"),
    pytest.param(
        ["watch=OwnNamespace", "replicas=2", "networkPolicy.enabled=true", "serviceMonitor.enabled=true"],
        ("namespaced", "high-availability", "network-policy", "service-monitor"),
        id="everything",
    ),
]

#: What helm says of itself, and the namespace that helm makes with --create-namespace.
OF_HELM = {"helm.sh/chart", "helm.sh/resource-policy", "app.kubernetes.io/managed-by", "app.kubernetes.io/version"}


def plain(documents: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    found = {}
    for document in documents:
        for field in ("labels", "annotations"):
            kept = {key: value for key, value in document["metadata"].pop(field, {}).items() if key not in OF_HELM}
            if kept:
                document["metadata"][field] = kept
        if document["kind"] != "Namespace":
            found[document["kind"], document["metadata"]["name"]] = document
    return found


@pytest.mark.parametrize(("settings", "folder"), CASES)
def test_both_render_the_same_objects(helm, kustomize, settings: list[str], folder: tuple[str, ...]):
    by_helm, by_kustomize = plain(helm(*settings)), plain(kustomize(*folder))
    assert by_helm.keys() == by_kustomize.keys()
    for key, document in by_helm.items():
        assert document == by_kustomize[key], key


def test_the_release_keeps_the_definition_on_uninstall_and_can_leave_it_out(helm):
    definition = next(document for document in helm() if document["kind"] == "CustomResourceDefinition")
    assert definition["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert "CustomResourceDefinition" not in {document["kind"] for document in helm("crds.install=false")}


def test_images_are_named_by_tag_or_by_digest(helm):
    digest = "sha256:" + "a" * 64
    deployment = next(
        d
        for d in helm("image.repository=here/op", f"image.digest={digest}", "serving.image.tag=v9")
        if d["kind"] == "Deployment"
    )
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == f"here/op@{digest}"
    assert {"name": "SERVING_IMAGE", "value": "crackseg-serving:v9"} in container["env"]


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        pytest.param("watch=Everything", "'AllNamespaces', 'OwnNamespace'", id="a word that does not exist"),
        pytest.param("imge.tag=1", "imge", id="a value that does not exist"),
        pytest.param("replicas=two", "/replicas", id="no number"),
        pytest.param("image.tag=a b", "/image/tag", id="no tag"),
    ],
)
def test_wrong_values_are_refused(tools: Path, setting: str, told: str):
    chart = Path(__file__).parents[3] / "deploy/helm/crackseg-operator"
    command = [tools / "helm", "template", "x", chart, "--kube-version=1.34.0", f"--set={setting}"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert told in ended.stderr


def test_the_chart_passes_its_own_linter(tools: Path):
    chart = Path(__file__).parents[3] / "deploy/helm/crackseg-operator"
    subprocess.run([tools / "helm", "lint", "--strict", chart], check=True, capture_output=True)


def test_the_overlay_in_the_documents_renders(tools: Path, tmp_path: Path):
    root = Path(__file__).parents[3]
    page = (root / "docs/operator.md").read_text(encoding="utf-8")
    overlay = next(
        block for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "kind: Kustomization" in block
    )
    shutil.copytree(root / "deploy/kustomize", tmp_path / "base")
    (tmp_path / "overlay").mkdir()
    (tmp_path / "overlay/kustomization.yaml").write_text(overlay.replace("../path/to/deploy/kustomize", "../base"))
    command = [tools / "kubectl", "kustomize", tmp_path / "overlay"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    (deployment,) = (d for d in yaml.safe_load_all(text) if d["kind"] == "Deployment")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    assert deployment["spec"]["replicas"] == 2
    assert container["image"] == "registry.example/crackseg-operator:0.1.0"
    assert container["env"][0] == {"name": "SERVING_IMAGE", "value": "registry.example/crackseg-serving:0.1.0"}

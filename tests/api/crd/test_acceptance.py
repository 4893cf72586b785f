"""What the API server takes, fills in, shows and scales."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from crackseg_local.controlplane import ControlPlane
from crackseg_operator.api import crd
from crackseg_operator.api.spec import parse_spec

pytestmark = pytest.mark.api

VALID = sorted((Path(__file__).parent / "valid").glob("*.yaml"))
MINIMAL = {"model": {"uri": "s3://models/pavement/7.0.0/model.onnx", "version": "7.0.0"}}


@pytest.mark.parametrize("file", VALID, ids=lambda file: file.stem)
def test_accepted_and_read_by_the_operator_as_written(client, file: Path):
    written = yaml.safe_load(file.read_text())
    stored = client.create(written["spec"], name=written["metadata"]["name"])
    assert parse_spec(stored["spec"]) == parse_spec(written["spec"])


def test_a_dry_run_of_the_smallest_one_shows_every_default(client):
    stored = client.create(MINIMAL)
    assert stored["spec"] == MINIMAL | {
        "replicas": 1,
        "rollout": {
            "strategy": "Rolling",
            "rollback": "Automatic",
            "progressDeadlineSeconds": 600,
            "historyLimit": 5,
        },
        "serving": {
            "device": "Auto",
            "gpus": 0,
            "precision": "Exact",
            "batching": {"maxSize": 8, "maxDelayMilliseconds": 5},
            "tiling": {"sizePixels": 512, "overlapPixels": 64, "skipEmptyTiles": "Disabled"},
            "resources": {},
        },
    }


def test_defaults_reach_into_objects_that_are_half_written(client):
    stored = client.create(MINIMAL | {"serving": {"tiling": {"sizePixels": 1024}}, "exposure": {"host": "a.b"}})
    assert stored["spec"]["serving"]["tiling"] == {
        "sizePixels": 1024,
        "overlapPixels": 64,
        "skipEmptyTiles": "Disabled",
    }
    assert stored["spec"]["serving"]["batching"]["maxSize"] == 8
    assert stored["spec"]["exposure"] == {"host": "a.b", "ingress": {}}


def test_autoscaling_follows_the_cpu_where_nothing_is_said(client):
    spec = MINIMAL | {"autoscaling": {"maxReplicas": 3}, "serving": {"resources": {"requests": {"cpu": "1"}}}}
    assert client.create(spec)["spec"]["autoscaling"] == {
        "minReplicas": 1,
        "maxReplicas": 3,
        "metrics": [{"type": "CPU", "averageUtilizationPercent": 70}],
    }


def test_explain_reads_as_documentation(crd_plane: ControlPlane):
    tree = crd_plane.kubectl("explain", "csm", "--recursive")
    for field in (
        "credentialsSecretName",
        "maxDelayMilliseconds",
        "tolerationSeconds",
        "clusterIssuer",
        "historyLimit",
    ):
        assert field in tree
    text = " ".join(crd_plane.kubectl("explain", "csm.spec.model").split())
    assert "<empty>" not in text
    assert "-required-" in text
    assert "Other bytes are refused with reason DigestMismatch." in text


def test_it_has_a_short_name_a_category_and_columns(client, crd_plane: ControlPlane):
    client.create(MINIMAL, name="columns", dry=False)
    status = {
        "observedGeneration": 1,
        "replicas": 2,
        "selector": "app.kubernetes.io/instance=columns",
        "url": "https://cracks.example.org",
        "stable": {"revision": "abc", "version": "6.0.0"},
        "candidate": {"revision": "def", "version": "7.0.0", "weightPercent": 10},
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Shifting",
                "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ],
    }
    patch = json.dumps({"status": status})
    crd_plane.kubectl("patch", "csm", "columns", "--subresource=status", "--type=merge", f"--patch={patch}")
    head, line = crd_plane.kubectl("get", "csm", "columns").splitlines()[:2]
    assert head.split() == ["NAME", "READY", "REASON", "VERSION", "TARGET", "WEIGHT", "REPLICAS", "AGE"]
    assert line.split()[:7] == ["columns", "True", "Shifting", "6.0.0", "7.0.0", "10", "2"]
    wide = crd_plane.kubectl("get", "crackseg", "--output=wide")
    assert wide.split()[8:11] == ["STRATEGY", "DEVICE", "URL"]
    assert "https://cracks.example.org" in wide
    stored = json.loads(crd_plane.kubectl("get", "csm", "columns", "--output=json"))
    assert stored["status"] == status, "the API server changed the status on its way"


def test_scale_writes_the_number_and_shows_the_selector(client, crd_plane: ControlPlane):
    client.create(MINIMAL, name="scaled", dry=False)
    crd_plane.kubectl("scale", "csm/scaled", "--replicas=3")
    assert crd_plane.kubectl("get", "csm", "scaled", "--output=jsonpath={.spec.replicas}") == "3"
    selector = json.dumps({"status": {"selector": "app=x", "replicas": 2}})
    crd_plane.kubectl("patch", "csm", "scaled", "--subresource=status", "--type=merge", f"--patch={selector}")
    path = "/apis/crackseg.io/v1alpha1/namespaces/default/cracksegmodels/scaled/scale"
    scale = json.loads(crd_plane.kubectl("get", "--raw", path))
    assert (scale["spec"]["replicas"], scale["status"]["replicas"], scale["status"]["selector"]) == (3, 2, "app=x")


def test_a_spec_written_through_status_is_ignored(client, crd_plane: ControlPlane):
    client.create(MINIMAL, name="guarded", dry=False)
    crd_plane.kubectl(
        "patch",
        "csm",
        "guarded",
        "--subresource=status",
        "--type=merge",
        '--patch={"spec":{"replicas":9},"status":{"url":"x"}}',
    )
    assert crd_plane.kubectl("get", "csm", "guarded", "--output=jsonpath={.spec.replicas} {.status.url}") == "1 x"


def test_installing_the_definition_again_keeps_the_objects(client, crd_plane: ControlPlane, tmp_path: Path):
    client.create(MINIMAL, name="kept", dry=False)
    uid = crd_plane.kubectl("get", "csm", "kept", "--output=jsonpath={.metadata.uid}")
    newer = crd.crd()
    schema = newer["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["note"] = {"type": "string", "description": "A later field."}
    (tmp_path / "newer.json").write_text(json.dumps(newer))
    for file in (tmp_path / "newer.json", Path(__file__).parents[3] / crd.FILES[0]):
        crd_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(file))
        assert crd_plane.kubectl("get", "csm", "kept", "--output=jsonpath={.metadata.uid}") == uid

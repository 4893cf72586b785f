"""kubectl crackseg, as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tests.api.operator.cluster import ROOT, Operator, Space, wait_for
from tests.api.operator.kubelet import Kubelet

pytestmark = pytest.mark.api


def _crackseg(space: Space, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "KUBECONFIG": str(space.plane.kubeconfig),
        "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT / 'serving'}",
        "PATH": os.environ["PATH"],
    }
    command = [sys.executable, "-m", "kubectl_crackseg", "--namespace", space.name, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_status_history_and_retry_of_a_version_that_was_taken_back(space: Space, operator: Operator):
    with Kubelet(space) as kubelet:
        kubelet.broken.add("2.0.0")
        space.apply_model(version="1.0.0")
        wait_for(lambda: space.condition("Ready").get("status") == "True", why="1.0.0 serves")
        assert "has no failed version" in _crackseg(space, "retry", "pavement").stderr
        space.apply_model(version="2.0.0")
        wait_for(lambda: space.status().get("failedRevisions"), why="2.0.0 is taken back")
        shown = _crackseg(space, "status", "pavement").stdout
        assert "1.0.0" in shown
        assert "ImagePullFailed" in shown
        assert "2.0.0" in _crackseg(space, "history", "pavement").stdout
        kubelet.broken.clear()
        assert "2.0.0 is tried again" in _crackseg(space, "retry", "pavement").stdout
        wait_for(lambda: space.status()["stable"]["version"] == "2.0.0", why="2.0.0 serves")


def test_a_model_that_is_not_there_is_said_so(space: Space):
    answer = _crackseg(space, "status", "nothing")
    assert answer.returncode == 1
    assert "there is no CrackSegModel 'nothing' here" in answer.stderr

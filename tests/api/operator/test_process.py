"""The operator as a process: settings, exit codes, endpoints, who leads."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.api.operator.cluster import PATHS, ROOT, Operator, Space, running, wait_for

pytestmark = pytest.mark.api


def test_a_bad_setting_ends_with_one_sentence_and_exit_code_2():
    environment = {"PYTHONPATH": f"{ROOT / 'operator'}:{ROOT / 'serving'}", "METRICS_PORT": "many"}
    command = [sys.executable, "-m", "crackseg_operator"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2
    assert ended.stderr.strip().startswith("crackseg-operator: METRICS_PORT is 'many', but must be a port number")
    assert len(ended.stderr.strip().splitlines()) == 1


def test_told_to_end_it_ends_well_and_leaves_no_task_to_wait_for(space: Space, stopped: Operator):
    stopped.environment["LOG_LEVEL"] = "DEBUG"
    with running(stopped):
        space.apply_model()
        space.settled()
        assert stopped.stop() == 0
    # kopf waits up to five seconds for tasks that were left running, and cancels them then.
    assert "Hung tasks stopping is skipped: no tasks given." in stopped.log.read_text()


def test_its_log_is_json_that_names_the_model_and_no_token(space: Space, operator: Operator, kubeconfig: Path):
    def lines() -> list[Any]:
        whole = operator.log.read_text().rpartition("\n")[0]  # the last one may still be being written
        return [json.loads(line) for line in whole.splitlines()]

    def named() -> bool:
        return any(line.get("model") == "pavement" and line.get("namespace") == space.name for line in lines())

    space.apply_model()
    # The line comes after the API server has taken the status, so a status seen is no promise of a line written.
    wait_for(named, why="the log names the model and its namespace")
    operator.stop()
    assert lines()
    token = json.loads(kubeconfig.read_text())["users"][0]["user"]["token"]
    assert token not in operator.log.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a mount namespace with a pod's files")
def test_in_a_pod_it_needs_no_dns_to_find_the_api_server(space: Space, kubeconfig: Path, tmp_path: Path):
    access = json.loads(kubeconfig.read_text())
    server = urlsplit(access["clusters"][0]["cluster"]["server"])
    (tmp_path / "token").write_text(access["users"][0]["user"]["token"])
    (tmp_path / "ca.crt").write_bytes(base64.b64decode(access["clusters"][0]["cluster"]["certificate-authority-data"]))
    account = "/var/run/secrets/kubernetes.io/serviceaccount"
    mounts = f"mount -t tmpfs none /var/run/ && mkdir -p {account} && cp {tmp_path}/token {tmp_path}/ca.crt {account}/"
    pod = {"KUBECONFIG": "", "KUBERNETES_SERVICE_HOST": server.hostname, "KUBERNETES_SERVICE_PORT": str(server.port)}
    within = ("unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh")
    with running(Operator(kubeconfig, tmp_path / "operator.log", space.name, pod, within)):
        space.apply_model()
        space.settled()


def test_its_metrics_count_writes_by_kind(space: Space, operator: Operator):
    space.apply_model()
    space.settled()
    text = operator.ask("/metrics")
    assert 'crackseg_operator_writes_total{kind="Deployment",verb="create"} 1.0' in text
    assert "crackseg_operator_leader 1.0" in text
    assert "crackseg_operator_models 1.0" in text


@pytest.mark.timeout(600)
def test_a_standby_takes_over_when_the_leader_ends_and_when_it_is_killed(
    space: Space, kubeconfig: Path, tmp_path: Path
):
    def make(name: str) -> Operator:
        environment = {"LEADER_ELECTION": "Enabled", "POD_NAME": name, "POD_NAMESPACE": "crackseg-system"}
        return Operator(kubeconfig, tmp_path / f"{name}.log", space.name, environment)

    leads = "crackseg_operator_leader 1.0"
    first, second, third = make("first"), make("second"), make("third")
    with running(first):
        wait_for(lambda: leads in first.ask("/metrics"), why="the first leads")
        with running(second):
            space.apply_model()
            space.settled()
            waits = "crackseg_operator_queue_depth 1.0"
            wait_for(lambda: waits in second.ask("/metrics"), why="the second has seen the model too, and lets it wait")
            standby = second.ask("/metrics")
            assert leads not in standby
            assert "crackseg_operator_queue_age_seconds 0.0" in standby  # its liveness is judged by this
            first.stop()
            lease = space.api.call("GET", f"{PATHS['Lease'].format('crackseg-system')}/crackseg-operator")
            assert lease["spec"].get("holderIdentity") != "first"  # it was released: nobody waits for its end
            wait_for(lambda: leads in second.ask("/metrics"), why="the second leads")
            with running(third):
                wait_for(third.ready)
                before = space.quiet()
                second.kill()
                space.delete("Service", "pavement")
                wait_for(lambda: space.get("Service", "pavement"), why="the third repairs")
                again = [write for write in space.quiet()[len(before) :] if write.code == 201]
                assert [write.resource for write in again] == ["services"]

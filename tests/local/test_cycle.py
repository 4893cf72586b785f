"""The whole cluster, up and down for real, beside the user's own: another number, another state folder.

The machine afterwards must be the machine before: every test here runs between two looks at it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from crackseg_local import processes, programs

NUMBER = 33
NAME = f"crackseg{NUMBER}"
INGRESS = f"http://10.{213 + NUMBER}.0.80"
LOCAL = Path(__file__).resolve().parents[2] / "deploy" / "local"

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not sys.platform.startswith("linux") or os.geteuid() != 0, reason="the local cluster needs Linux and root"
    ),
]


class Machine:
    """The machine, and a cluster of this test's own on it."""

    def __init__(self, state_home: Path) -> None:
        self.state = state_home / NAME / "cluster"
        self.environment = {
            **os.environ,
            "XDG_STATE_HOME": str(state_home),
            "CRACKSEG_CLUSTER_NUMBER": str(NUMBER),
            "PYTHONPATH": str(LOCAL),
        }

    def tool(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "crackseg_local", *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)

    def up(self) -> None:
        done = self.tool("up")
        assert done.returncode == 0, done.stderr

    def down(self) -> None:
        done = self.tool("down")
        assert done.returncode == 0, done.stderr

    def kubectl(self, *arguments: str) -> str:
        command = [programs.bin_folder() / "kubectl", f"--kubeconfig={self.state / 'kubeconfig'}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def pids(self) -> list[int]:
        return processes.find_all(self.state)

    def pid_of(self, name: str) -> int:
        return int((self.state / "pids" / f"{name}.pid").read_text())

    def look(self) -> dict[str, set[str]]:
        """Everything on the machine that a cluster of this number could leave behind."""
        links = json.loads(subprocess.run(["ip", "-json", "link"], capture_output=True, check=True).stdout)
        tables = subprocess.run(["iptables-save"], capture_output=True, text=True, check=False).stdout
        routes = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
        netns = Path("/run/netns")
        return {
            "links": {link["ifname"] for link in links if link["ifname"] != "crackseg0"},
            "namespaces": {path.name for path in netns.iterdir() if NAME in path.name} if netns.exists() else set(),
            "mounts": {line for line in Path("/proc/mounts").read_text().splitlines() if NAME in line},
            "cgroups": {str(path) for path in Path("/sys/fs/cgroup").glob(f"*/{NAME}*")},
            "firewall": {line for line in tables.splitlines() if line.startswith("-A")},
            "routes": {line for line in routes.splitlines() if f"10.{213 + NUMBER}." in line},
            "processes": {str(pid) for pid in self.pids()},
            "files": {str(path) for path in Path("/var/lib/cni/results").glob(f"{NAME}-*")}
            | ({str(self.state)} if self.state.exists() else set()),
        }


@pytest.fixture(scope="module")
def before_and_after(tmp_path_factory):
    # A short path: the sockets below it may have 107 characters.
    machine = Machine(Path("/tmp") / f"crackseg-cycle-{os.getpid()}")
    before = machine.look()
    yield machine
    machine.down()
    assert machine.look() == before
    subprocess.run(["rm", "-rf", machine.state.parents[1]], check=True)


@pytest.fixture
def machine(before_and_after):
    """The cluster, up; a second test finds it as the one before left it."""
    before_and_after.up()
    return before_and_after


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2)
    except urllib.error.HTTPError as answer:
        return answer.code == 404
    except OSError:
        return False
    return True


def test_up_brings_two_ready_nodes_dns_metrics_and_an_ingress(machine):
    nodes = json.loads(machine.kubectl("get", "nodes", "--output=json"))["items"]
    ready = {
        n["metadata"]["name"]
        for n in nodes
        for c in n["status"]["conditions"]
        if (c["type"], c["status"]) == ("Ready", "True")
    }
    assert ready == {"node-1", "node-2"}
    deployments = json.loads(machine.kubectl("get", "deployments", "--all-namespaces", "--output=json"))["items"]
    assert {d["metadata"]["name"] for d in deployments} == {"coredns", "metrics-server", "traefik"}
    assert processes.wait_until(lambda: answers(INGRESS), 90), "Traefik answers on the Ingress address"
    assert "kubelet-node-2" in machine.tool("status").stdout


def test_a_second_up_changes_nothing(machine):
    before = machine.pids()
    machine.up()
    assert machine.pids() == before


def test_dead_and_dying_programs_are_started_again_and_the_rest_is_left_alone(machine):
    dead, dying = machine.pid_of("kube-proxy-node-2"), machine.pid_of("kube-apiserver")
    others = set(machine.pids()) - {dead, dying}
    os.kill(dead, signal.SIGKILL)
    os.kill(dying, signal.SIGTERM)
    machine.up()
    assert others <= set(machine.pids())
    assert processes.is_alive(machine.pid_of("kube-proxy-node-2"))
    assert machine.pid_of("kube-apiserver") != dying


def test_a_cluster_whose_every_process_was_killed_comes_back_with_its_objects(machine):
    machine.kubectl("create", "configmap", "kept")
    for pid in machine.pids():
        os.kill(pid, signal.SIGKILL)
    machine.up()
    assert "kept" in machine.kubectl("get", "configmaps")
    assert processes.wait_until(lambda: answers(INGRESS), 90)


def test_down_leaves_nothing_even_where_only_mounts_namespaces_and_cgroups_remain(machine):
    for pid in machine.pids():
        os.kill(pid, signal.SIGKILL)
    machine.down()
    left = machine.look()
    assert {what for what in ("namespaces", "mounts", "cgroups", "routes", "processes", "files") if left[what]} == set()


def test_a_start_that_was_killed_is_taken_up_again(before_and_after):
    machine = before_and_after
    machine.down()
    command = [sys.executable, "-m", "crackseg_local", "up"]
    with subprocess.Popen(command, env=machine.environment, stderr=subprocess.PIPE, text=True) as tool:
        while "containerd runs" not in (said := tool.stderr.readline()):
            assert said, "the tool ended before it started a container runtime"
        tool.kill()
    machine.up()
    assert machine.tool("status").returncode == 0


def test_a_cluster_of_another_configuration_is_replaced(machine):
    machine.kubectl("create", "configmap", "of-the-old-one")
    (machine.state / "identity.json").write_text("what another version of the code started")
    machine.up()
    assert "of-the-old-one" not in machine.kubectl("get", "configmaps")

"""The plain manifests and the image: hardened, and with no more rights than documented."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
KUSTOMIZE = ROOT / "deploy" / "kustomize"


def documents(pattern: str) -> list[dict[str, Any]]:
    return [d for file in sorted(KUSTOMIZE.glob(pattern)) for d in yaml.safe_load_all(file.read_text()) if d]


ROLES = [document for document in documents("**/*.yaml") if document["kind"] in {"Role", "ClusterRole"}]
DEPLOYMENT = documents("operator/deployment.yaml")[0]
POD = DEPLOYMENT["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: f"{role['kind']} {role['metadata']['name']}")
def test_no_role_has_a_wildcard_or_a_secret(role: dict[str, Any]):
    for rule in role["rules"]:
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert "secrets" not in rule["resources"]


def test_the_role_of_one_namespace_is_the_role_of_all():
    everywhere, here = documents("cluster/role.yaml")[0], documents("namespaced/role.yaml")[0]
    assert everywhere["rules"] == here["rules"]


def test_the_roles_grant_exactly_what_the_documents_say():
    granted = set()
    for document in (*documents("cluster/role.yaml"), *documents("operator/leader.yaml")):
        for rule in document.get("rules", ()):
            granted |= {(g, r, verb) for g in rule["apiGroups"] for r in rule["resources"] for verb in rule["verbs"]}
    page = (ROOT / "docs/operator.md").read_text().partition("## Permissions")[2].partition("\n## ")[0]
    documented = set()
    for group, resources, verbs in re.findall(r"^\| (\S+) \| (.+?) \| ([a-z, ]+) \|", page, re.MULTILINE):
        for resource in re.findall(r"`(\S+?)`", resources):
            documented |= {("" if group == "core" else group.strip("`"), resource, verb) for verb in verbs.split(", ")}
    assert granted == documented


def test_the_operator_runs_as_nobody_on_a_read_only_disk():
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["runAsUser"] > 10_000
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC", "volumes"} & POD.keys()


def test_the_operator_is_probed_and_bounded():
    ports = {port["name"] for port in CONTAINER["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert CONTAINER[probe]["httpGet"]["port"] in ports
    assert CONTAINER["resources"]["limits"]["memory"]
    assert CONTAINER["resources"]["requests"].keys() == {"cpu", "memory"}


def test_every_setting_that_is_given_is_one_that_is_read():
    read = set(re.findall(r'"([A-Z_]{4,})"', (ROOT / "operator/crackseg_operator/settings.py").read_text()))
    given = {variable["name"] for variable in CONTAINER["env"]}
    assert given <= read
    ports = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
    env = {variable["name"]: variable.get("value") for variable in CONTAINER["env"]}
    assert (env["METRICS_PORT"], env["HEALTH_PORT"]) == (str(ports["metrics"]), str(ports["health"]))


def test_the_versions_agree():
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    chart = yaml.safe_load((ROOT / "deploy/helm/crackseg-operator/Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)
    assert CONTAINER["image"] == f"crackseg-operator:{version}"


def test_the_image_runs_as_the_user_of_the_manifests_and_installs_only_locked_packages():
    text = (ROOT / "Dockerfile.operator").read_text()
    user = f"{POD['securityContext']['runAsUser']}:{POD['securityContext']['runAsGroup']}"
    assert f"\nUSER {user}\n" in text
    installs = re.findall(r"pip install((?:.|\\\n)+?)(?:\n(?=[A-Z])|$)", text)
    assert installs
    assert all("--require-hashes" in install for install in installs)
    assert re.findall(r'"([^"]+)"', text.partition("ENTRYPOINT")[2]) == ["python", "-m", "crackseg_operator"]

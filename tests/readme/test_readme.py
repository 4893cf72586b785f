"""What the README tells people to type works: make targets exist, kubectl and helm commands run, YAML is accepted, links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from crackseg_local import programs
from crackseg_local.controlplane import ControlPlane

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md"]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)[^)]*\)")
_CODE = re.compile(r"`([^`\n]+)`")
_MAKE = re.compile(r"(?:^|[\s;&])make ([a-z][a-z0-9-]*(?: [a-z][a-z0-9-]*)*)")

pytestmark = pytest.mark.skipif(not README.exists(), reason="there is no README.md yet")


def pages() -> list[Path]:
    return [page for page in PAGES if page.exists()]


def blocks(page: Path, *languages: str) -> list[str]:
    return [text for language, text in _BLOCK.findall(page.read_text()) if language in languages]


def commands(page: Path) -> list[str]:
    """The command lines of a page's shell blocks: continued lines joined, comments and prompts left out."""
    lines = "".join(blocks(page, "sh", "bash", "shell")).replace("\\\n", " ").splitlines()
    stripped = (line.strip().removeprefix("$ ") for line in lines)
    return [line for line in stripped if line and not line.startswith("#")]


def program(command: str) -> str:
    """The program that a command line starts, behind its variables."""
    return next((word for word in shlex.split(command, comments=True) if not re.fullmatch(r"\w+=.*", word)), "")


def models() -> list[tuple[str, str]]:
    """Every CrackSegModel on any page, and where it stands."""
    found = []
    for page in pages():
        for number, text in enumerate(blocks(page, "yaml"), 1):
            kinds = [document.get("kind") for document in yaml.safe_load_all(text) if isinstance(document, dict)]
            if "CrackSegModel" in kinds:
                found.append((f"{page.relative_to(ROOT)}, YAML block {number}", text))
    return found


def targets() -> set[str]:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {line.split()[0] for line in listed.splitlines() if line.strip()}


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    """An API server that knows CrackSegModels."""
    with ControlPlane(controllers=False) as started:
        started.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        started.wait_for_api("crackseg.io/v1alpha1")
        yield started


def run(command: str, plane: ControlPlane) -> subprocess.CompletedProcess[str]:
    """Run a command line from the README as it stands there, in the root of the repository."""
    path = f"{plane.bin}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "KUBECONFIG": str(plane.kubeconfig)}
    return subprocess.run(
        ["bash", "-ec", command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_readme_shows_commands_and_yaml():
    assert commands(README)
    assert models()


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_make_target_that_is_named_exists(page: Path):
    code = [*_CODE.findall(page.read_text()), *commands(page)]
    named = {target for text in code for group in _MAKE.findall(text) for target in group.split()}
    assert named <= targets(), f"{page.name} names targets that the Makefile does not have"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path):
    missing = [link for link in _LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert missing == []


def test_no_command_is_of_a_kind_that_is_not_checked():
    known = {"make", "kubectl", "helm", "git", "cd", "export", "curl"}
    assert {program(command) for command in commands(README)} <= known


@pytest.mark.api
@pytest.mark.parametrize(("where", "text"), models(), ids=[where for where, _ in models()])
def test_every_model_is_accepted_by_the_api_server(plane: ControlPlane, where: str, text: str):
    assert "created" in plane.kubectl("apply", "--dry-run=server", "-f", "-", stdin=text), where


INSTALLS = [
    command
    for command in (commands(README) if README.exists() else [])
    if re.search(r"helm install|apply .*-k", command)
]


@pytest.mark.api
@pytest.mark.parametrize("command", INSTALLS)
def test_each_way_to_install_installs(command: str):
    if program(command) == "helm":
        programs.ensure(["helm"])
    with ControlPlane(controllers=False) as fresh:
        done = run(command, fresh)
        assert done.returncode == 0, done.stderr
        fresh.wait_for_api("crackseg.io/v1alpha1")
        deployments = fresh.kubectl("get", "deployments", "--all-namespaces", "--output=name")
        assert "deployment.apps/" in deployments


@pytest.mark.api
def test_every_other_kubectl_command_runs(plane: ControlPlane):
    for _, text in models()[:1]:
        plane.kubectl("apply", "-f", "-", stdin=text)
    for command in commands(README):
        if program(command) == "kubectl" and command not in INSTALLS and " wait " not in command:
            done = run(command, plane)
            assert done.returncode == 0, f"{command}\n{done.stderr}"


def test_the_programs_that_the_readme_needs_are_named_in_it():
    text = README.read_text()
    for needed in ("git", "make", "python3"):
        assert shutil.which(needed)
        assert needed in text

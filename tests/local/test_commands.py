"""The command line, as a person meets it: with the system's own Python and nothing installed for it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

LOCAL = Path(__file__).resolve().parents[2] / "deploy" / "local"
PYTHON = "/usr/bin/python3"


@pytest.fixture
def package(tmp_path):
    """The package where an ordinary user can read it."""
    shutil.copytree(LOCAL, tmp_path / "local", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (tmp_path, *tmp_path.parents):
        if folder == Path("/tmp") or folder.stat().st_uid != os.geteuid():
            break
        folder.chmod(0o755)
    return tmp_path / "local"


def tool(package, *arguments, prefix=(), **variables):
    command = [*prefix, PYTHON, "-m", "crackseg_local", *arguments]
    environment = {"PATH": os.environ["PATH"], "HOME": str(package.parent), "PYTHONPATH": str(package), **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not Path(PYTHON).exists(), reason="the system has no Python of its own")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_who_is_not_root_is_told_what_to_do(package):
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    said = tool(package, "up", prefix=nobody)
    assert said.returncode == 1
    assert said.stderr.startswith("error: ")
    assert "must be root. Run: sudo make cluster" in said.stderr
    assert "CLUSTER=existing" in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.skipif(not Path(PYTHON).exists(), reason="the system has no Python of its own")
def test_commands_that_need_a_cluster_say_how_to_get_one(package):
    for command in (["status"], ["load", "image.tar"], ["volume", "default/models", "/tmp"]):
        said = tool(package, *command)
        assert (said.returncode, said.stderr) == (
            1,
            "error: No local cluster is running. Start it with: make cluster\n",
        )


@pytest.mark.skipif(not Path(PYTHON).exists(), reason="the system has no Python of its own")
def test_help_lists_every_command(package):
    said = tool(package, "--help").stdout
    for command in ("up", "down", "status", "images", "load", "volume", "bin", "programs"):
        assert f"\n    {command} " in said

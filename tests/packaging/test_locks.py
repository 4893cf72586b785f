"""The requirements files: every package pinned, with hashes, in agreement with pyproject.toml; no registry named."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
LOCKS = {
    "requirements-operator.txt": ("operator",),
    "requirements-serving-cpu.txt": ("serving", "cpu"),
    "requirements-serving-gpu.txt": ("serving", "gpu"),
    "requirements-serving-openvino.txt": ("serving", "openvino"),
    "requirements-dev.txt": ("operator", "plugin", "serving", "cpu", "dev"),
}


def pins(file: str) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+?) ", (ROOT / file).read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


@pytest.mark.parametrize("file", LOCKS)
def test_every_requirement_is_pinned_to_a_version_that_it_allows(file: str):
    pinned = pins(file)
    for extra in LOCKS[file]:
        for line in EXTRAS[extra]:
            wanted = Requirement(line)
            name = canonicalize_name(wanted.name)
            assert name in pinned, f"{wanted} of extra {extra} is not in {file}: run `make lock`"
            assert wanted.specifier.contains(pinned[name], prereleases=True), f"{wanted}: {file} has {pinned[name]}"


@pytest.mark.parametrize("file", LOCKS)
def test_every_pin_has_hashes_and_nothing_else_is_said(file: str):
    text = (ROOT / file).read_text()
    entries = [entry for entry in re.split(r"\n(?=[A-Za-z0-9])", text) if entry.strip()]
    assert len(entries) == len(pins(file)) > 5
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert re.findall(r"https?://|--index-url|--extra-index-url|--find-links|--trusted-host", text) == []


@pytest.mark.parametrize("file", [name for name in LOCKS if name != "requirements-dev.txt"])
def test_no_image_carries_what_belongs_elsewhere(file: str):
    assert pins(file).keys().isdisjoint({"kubernetes", "torch", "pytest", "hypothesis", "onnx"})


def test_the_operator_has_no_server_and_the_server_no_operator():
    assert pins("requirements-operator.txt").keys().isdisjoint({"numpy", "onnxruntime", "onnxruntime-gpu"})
    assert "kopf" not in pins("requirements-serving-cpu.txt")
    assert "onnxruntime" not in pins("requirements-serving-gpu.txt")
    assert "onnxruntime" not in pins("requirements-serving-openvino.txt")


def test_one_package_has_one_version_everywhere():
    everywhere = [pins(file) for file in LOCKS]
    names = set().union(*everywhere)
    assert {name for name in names if len({pinned[name] for pinned in everywhere if name in pinned}) > 1} == set()

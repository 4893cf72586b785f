"""The chart as files: described, checked by its schema, and nothing in it that the README does not say."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/crackseg-operator"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def _generator() -> Any:
    found = importlib.util.spec_from_file_location("chart_readme", ROOT / "deploy/helm/chart_readme.py")
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def leaves(schema: dict[str, Any], values: Any, path: str = "") -> Iterator[tuple[str, bool]]:
    """Every value with whether the schema knows it."""
    for key, value in values.items():
        inner = schema.get("properties", {}).get(key)
        here = f"{path}.{key}".lstrip(".")
        if isinstance(value, dict) and inner and inner.get("properties"):
            yield from leaves(inner, value, here)
        else:
            yield here, inner is not None


def test_the_readme_is_what_the_values_say(capsys):
    assert _generator().main(["--check"]) == 0, capsys.readouterr().err


def test_the_schema_knows_every_value_and_no_other_is_taken():
    assert [path for path, known in leaves(SCHEMA, VALUES) if not known] == []
    assert SCHEMA["additionalProperties"] is False
    assert set(SCHEMA["properties"]) - {"global"} == set(VALUES)


def test_every_value_is_described():
    described = {path for path, _, _ in _generator().values()}
    assert [p for p, _ in leaves(SCHEMA, VALUES) if p not in described and p.rpartition(".")[0] not in described] == []


def test_every_value_is_used():
    templates = "".join(file.read_text() for file in (CHART / "templates").iterdir())
    looped = {"nodeSelector", "tolerations", "affinity"}
    unused = [p for p, _ in leaves(SCHEMA, VALUES) if p not in looped and f".Values.{p}" not in templates]
    assert [path for path in unused if f".Values.{path.partition('.')[0]} " not in templates] == []


def test_the_chart_carries_the_definition_as_a_template_that_upgrades_it():
    assert not (CHART / "crds").exists(), "helm never upgrades what is in crds/"
    assert "helm.sh/resource-policy: keep" in (CHART / "templates/crd.yaml").read_text()

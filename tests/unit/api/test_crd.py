"""The CRD as a document: equal to the models, structural, described, bounded, small."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crackseg_operator.api import crd, names
from crackseg_operator.api.schema import structural
from crackseg_operator.api.spec import Spec, parse_spec
from crackseg_operator.api.status import Status

ROOT = Path(__file__).parents[3]
DEFINITION = crd.crd()
VERSION = DEFINITION["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node of the schema below the root that describes a value, with its path."""
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from nodes(child, f"{path}.{name}")
    for key, suffix in (("items", "[]"), ("additionalProperties", ".*")):
        if key in schema:
            yield f"{path}{suffix}", schema[key]
            yield from nodes(schema[key], f"{path}{suffix}")


NODES = [(path, node) for path, node in nodes(SCHEMA) if path != ".metadata"]
SPEC_NODES = [(path, node) for path, node in NODES if path.startswith(".spec")]


@pytest.mark.parametrize("file", crd.documents(), ids=str)
def test_the_committed_file_is_what_the_models_say(file: Path):
    assert (ROOT / file).read_text(encoding="utf-8") == crd.documents()[file], "run `make crds` and commit the result"


def test_the_check_fails_where_a_file_is_stale(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert crd.main(["--check"]) == 1
    assert crd.main(["--write"]) == 0
    assert crd.main(["--check"]) == 0
    (tmp_path / crd.FILES[0]).write_text("edited by hand")
    assert crd.main(["--check"]) == 1
    assert "make crds" in capsys.readouterr().err


def test_every_field_is_described():
    members = [(path, node) for path, node in NODES if not path.endswith(("[]", ".*"))]
    assert [path for path, node in members if len(node.get("description", "")) < 10] == []
    assert len(SCHEMA["description"]) > 100


def test_every_description_ends_a_sentence():
    assert [path for path, node in NODES if not node.get("description", "x.").endswith((".", ")"))] == []


def test_every_list_says_how_it_is_merged():
    lists = {path: node for path, node in NODES if node.get("type") == "array"}
    assert {path for path, node in lists.items() if "x-kubernetes-list-type" not in node} == set()
    assert {path for path, node in lists.items() if "maxItems" not in node} == set()
    keyed = {path: node for path, node in lists.items() if node["x-kubernetes-list-type"] == "map"}
    for path, node in keyed.items():
        assert set(node["x-kubernetes-list-map-keys"]) <= set(node["items"]["required"]), path


def test_every_text_and_map_of_the_spec_is_bounded():
    texts = [p for p, node in SPEC_NODES if node.get("type") == "string" and not {"maxLength", "enum"} & node.keys()]
    maps = [p for p, node in SPEC_NODES if "additionalProperties" in node and "maxProperties" not in node]
    assert texts + maps == []


def test_every_number_of_the_spec_is_an_integer_with_format_and_bounds():
    assert [path for path, node in NODES if node.get("type") == "number"] == []
    numbers = {path: node for path, node in NODES if node.get("type") == "integer"}
    assert {path for path, node in numbers.items() if node.get("format") not in {"int32", "int64"}} == set()
    assert {p for p, node in numbers.items() if p.startswith(".spec") and "minimum" not in node} == set()


@pytest.mark.parametrize(
    "word", ["$ref", "$defs", "title", "nullable", "pattern", "x-kubernetes-preserve-unknown-fields", "x-must-be"]
)
def test_the_schema_is_structural_and_free_of(word: str):
    assert [path for path, node in NODES if word in node] == []


def test_no_field_is_a_bare_yes_or_no():
    assert [path for path, node in NODES if node.get("type") == "boolean"] == []


def test_a_union_appears_only_where_kubernetes_allows_one():
    assert all(node.get("x-kubernetes-int-or-string") for _, node in NODES if "anyOf" in node)


def test_every_rule_names_its_field_in_its_sentence():
    rules = [(path, rule) for path, node in SPEC_NODES for rule in node.get("x-kubernetes-validations", ())]
    rules += [(".spec", rule) for rule in SCHEMA["properties"]["spec"]["x-kubernetes-validations"]]
    assert len(rules) > 20
    for path, rule in rules:
        assert rule["message"].startswith(f"{path.split('[]')[0].removeprefix('.')}"), rule["message"]


def test_status_has_no_defaults_and_no_rules_so_that_it_comes_back_as_it_was_sent():
    status = [(path, node) for path, node in NODES if path.startswith(".status")]
    assert [path for path, node in status if {"default", "x-kubernetes-validations"} & node.keys()] == []


def test_the_defaults_in_the_schema_are_the_defaults_of_the_models():
    minimal = {"model": {"uri": "s3://models/pavement.onnx", "version": "1"}}
    filled = _with_defaults(SCHEMA["properties"]["spec"], minimal)
    assert filled != minimal
    assert parse_spec(filled) == parse_spec(minimal)


def _with_defaults(schema: dict[str, Any], value: Any) -> Any:
    """What the API server does: fill in defaults, outermost first."""
    if not isinstance(value, dict):
        return value
    filled = dict(value)
    for name, child in schema.get("properties", {}).items():
        if name not in filled and "default" in child:
            filled[name] = child["default"]
        if name in filled:
            filled[name] = _with_defaults(child, filled[name])
    return filled


def test_the_models_know_no_field_that_the_schema_lacks():
    for model, part in ((Spec, "spec"), (Status, "status")):
        assert structural(model, part)["properties"].keys() == SCHEMA["properties"][part]["properties"].keys()


def test_it_is_small_enough_for_client_side_apply():
    assert len(json.dumps(DEFINITION, separators=(",", ":"))) < 150_000


def test_it_has_status_and_scale_and_the_columns_that_say_whether_all_is_well():
    assert VERSION["subresources"] == {
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    }
    plain = [column["name"] for column in VERSION["additionalPrinterColumns"] if not column.get("priority")]
    wide = [column["name"] for column in VERSION["additionalPrinterColumns"] if column.get("priority")]
    assert plain == ["Ready", "Reason", "Version", "Target", "Weight", "Replicas", "Age"]
    assert wide == ["Strategy", "Device", "URL"]
    assert DEFINITION["spec"]["names"]["shortNames"] == ["csm"]
    assert DEFINITION["spec"]["names"]["categories"] == ["crackseg"]
    assert DEFINITION["spec"]["group"] == names.GROUP


def test_every_column_reads_a_field_that_exists():
    paths = {path for path, _ in NODES} | {".metadata.creationTimestamp"}
    for column in VERSION["additionalPrinterColumns"]:
        assert column["jsonPath"].replace('[?(@.type=="Ready")]', "[]") in paths, column["name"]


def test_the_reference_shows_every_field():
    page = crd.documents()[crd.REFERENCE]
    members = {path.rsplit(".", 1)[1] for path, _ in NODES if path.count(".") > 1 and not path.endswith(("[]", ".*"))}
    assert [name for name in members if f"| {name} |" not in page and f"| **{name}** |" not in page] == []

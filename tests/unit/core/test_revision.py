"""What names a revision, and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from crackseg_operator.api.spec import parse_spec
from crackseg_operator.core.revision import Source, read_source, source_of

MODEL = {"uri": "s3://models/1.onnx", "version": "1"}


def source(image: str = "serving:1", **spec: Any) -> Source:
    parsed = parse_spec({"model": MODEL, **spec})
    return source_of(parsed.model, parsed.serving, image)


def test_the_name_is_pinned() -> None:
    """A changed name would roll every model of every user: never change this expectation."""
    assert source().revision == "edb13e7e8a"


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"replicas": 7}, id="replicas"),
        pytest.param({"autoscaling": {"maxReplicas": 9}}, id="autoscaling"),
        pytest.param({"rollout": {"strategy": "Recreate"}}, id="policy"),
        pytest.param({"exposure": {"host": "a.example.org"}}, id="exposure"),
        pytest.param({"serving": {"device": "Auto", "gpus": 0, "batching": {"maxSize": 8}}}, id="defaults written out"),
        pytest.param({"serving": {"resources": {}, "tolerations": [], "nodeSelector": {}}}, id="empty fields"),
        pytest.param({"serving": {"imageURL": {"allowedHosts": []}}}, id="no host to fetch images from"),
        pytest.param({"serving": {"tiling": {"skipEmptyTiles": "Disabled"}}}, id="empty tiles run"),
        pytest.param({"serving": {"precision": "Exact"}}, id="as the file says"),
    ],
)
def test_what_changes_no_pod_makes_no_new_revision(spec: dict[str, Any]) -> None:
    assert source(**spec).revision == source().revision


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"model": {**MODEL, "version": "2"}}, id="version"),
        pytest.param({"model": {**MODEL, "uri": "s3://models/2.onnx"}}, id="uri"),
        pytest.param({"model": {**MODEL, "sha256": "0" * 64}}, id="digest"),
        pytest.param({"model": {**MODEL, "credentialsSecretName": "store"}}, id="credentials"),
        pytest.param({"serving": {"image": "other:1"}}, id="image"),
        pytest.param({"serving": {"gpus": 1}}, id="gpus"),
        pytest.param({"serving": {"precision": "Auto"}}, id="a precision that the server finds"),
        pytest.param({"serving": {"batching": {"maxSize": 9}}}, id="batching"),
        pytest.param({"serving": {"batching": {"maxSize": "Auto"}}}, id="batching that the server finds"),
        pytest.param({"serving": {"inputSizePixels": 256}}, id="a whole picture in one run"),
        pytest.param({"serving": {"tiling": {"skipEmptyTiles": "Enabled"}}}, id="empty tiles skipped"),
        pytest.param({"serving": {"imageURL": {"allowedHosts": ["a.org"]}}}, id="hosts to fetch images from"),
        pytest.param({"serving": {"resources": {"limits": {"cpu": 1}}}}, id="resources"),
    ],
)
def test_what_changes_pods_makes_a_new_revision(spec: dict[str, Any]) -> None:
    assert source(**spec).revision != source().revision


def test_equal_amounts_are_equal_however_they_are_written() -> None:
    names = {
        source(serving={"resources": {"limits": {"cpu": cpu, "memory": memory}}}).revision
        for cpu, memory in ((1, "1Gi"), ("1", "1024Mi"), ("1000m", "1048576Ki"))
    }
    assert len(names) == 1


def test_a_set_of_hosts_is_equal_in_any_order() -> None:
    names = {
        source(serving={"imageURL": {"allowedHosts": hosts}}).revision
        for hosts in (["a.org", "b.org"], ["b.org", "a.org"])
    }
    assert len(names) == 1


def test_the_operators_default_image_is_no_part_of_the_name_but_of_the_source() -> None:
    old, new = source("serving:1"), source("serving:2")
    assert old.revision == new.revision
    assert (old.image, new.image) == ("serving:1", "serving:2")
    assert source(serving={"image": "own:1"}).image == "own:1"


def test_a_source_is_read_back_from_its_annotation() -> None:
    written = source(serving={"resources": {"limits": {"cpu": "0.5"}}, "tolerations": [{"operator": "Exists"}]})
    read = read_source(written.to_json())
    assert read is not None
    assert (read.revision, read.image, read.content) == (written.revision, written.image, written.content)


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", '{"image": "x", "model": {"uri": 1}}', '{"model": 3}'])
def test_an_annotation_that_a_hand_has_changed_is_no_source(text: str | None) -> None:
    assert read_source(text) is None

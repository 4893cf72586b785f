"""Tensors on the REST wire, of every type that the protocol has, there and back; without a server."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.serving.models import DarkModel

from crackseg_serving.failures import Refused
from crackseg_serving.http.tensors import BINARY_HEADER, json_weight, read_request, write_answer
from crackseg_serving.inference.tensors import DATATYPES
from crackseg_serving.runtime.signature import Signature, TensorSpec, read_signature

SHAPE = (1, 3, 2, 2)
NUMBERS = [1, 0, 1, 1, 0, 0, 1, 0, 1, 1, 1, 0]
DECLARED = read_signature(
    [TensorSpec("image", "FP32", (None, 3, None, None))], [TensorSpec("mask", "FP32", (None, 1, None, None))], {}
)
assert DarkModel  # the stand-in that the server's own tests use has this signature


def signature(datatype: str) -> Signature:
    return replace(DECLARED, input=replace(DECLARED.input, datatype=datatype))


def request(datatype: str, **tensor: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "image", "datatype": datatype, "shape": list(SHAPE), **tensor}]}


def read(document: dict[str, Any], datatype: str, binary: bytes = b"") -> Any:
    head = json.dumps(document).encode()
    headers = {BINARY_HEADER: str(len(head))} if binary else {}
    return read_request(head + binary, headers, signature(datatype), 1000, json_weight(head + binary, headers))


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_type_arrives_as_bytes(datatype: str):
    sent = np.array(NUMBERS).astype(DATATYPES[datatype])
    asked = read(request(datatype, parameters={"binary_data_size": sent.nbytes}), datatype, sent.tobytes())
    assert asked.items.dtype == DATATYPES[datatype]
    np.testing.assert_array_equal(asked.items, sent.reshape(SHAPE))


@pytest.mark.parametrize("datatype", [name for name in DATATYPES if name != "BF16"])
@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
def test_every_type_with_numbers_arrives_as_json(datatype: str, nested: bool):  # noqa: FBT001 - a table
    sent = np.array(NUMBERS).astype(DATATYPES[datatype])
    data = sent.reshape(SHAPE).tolist() if nested else sent.tolist()
    items = read(request(datatype, data=data), datatype).items
    assert items.dtype == DATATYPES[datatype]
    np.testing.assert_array_equal(items, sent.reshape(SHAPE))


@pytest.mark.parametrize("datatype", [name for name in DATATYPES if name.startswith(("INT", "UINT"))])
def test_whole_numbers_arrive_at_their_limits_and_not_beyond(datatype: str):
    limits = np.iinfo(DATATYPES[datatype])
    for edge in (limits.min, limits.max):
        assert read(request(datatype, data=[edge] * 12), datatype).items.flat[0] == edge
    for beyond in (limits.min - 1, limits.max + 1, 0.5, True, "1", None):
        with pytest.raises(Refused):
            read(request(datatype, data=[beyond] * 12), datatype)


@pytest.mark.parametrize(
    ("datatype", "data", "word"),
    [
        pytest.param("FP32", [1e39] * 12, "finite", id="more than FP32 holds"),
        pytest.param("FP16", [70000] * 12, "finite", id="more than FP16 holds"),
        pytest.param("FP32", [True] * 12, "numbers", id="true is no number"),
        pytest.param("BOOL", [1] * 12, "true and false", id="1 is not true"),
        pytest.param("BF16", [1] * 12, "binary", id="BF16 has no numbers"),
        pytest.param("FP32", {"0": 1}, "data", id="an object"),
        pytest.param("FP32", [1.0] * 13, "12 elements", id="one too many"),
        pytest.param("FP32", [[1.0] * 6, [1.0] * 5], "12 elements", id="one too few, nested"),
    ],
)
def test_what_a_type_cannot_hold_is_refused(datatype: str, data: object, word: str):
    with pytest.raises(Refused, match=word):
        read(request(datatype, data=data), datatype)


def test_a_body_of_bytes_alone_is_one_item_where_one_size_is_open():
    square = replace(DECLARED, input=replace(DECLARED.input, shape=(None, 3, None, 2)))
    data = np.arange(12, dtype=np.float32)
    asked = read_request(data.tobytes(), {BINARY_HEADER: "0"}, square, 1000, 0)
    assert (asked.items.shape, [binary for _, binary in asked.outputs]) == (SHAPE, [True])
    with pytest.raises(Refused, match="open size"):
        read_request(data.tobytes(), {BINARY_HEADER: "0"}, DECLARED, 1000, 0)
    with pytest.raises(Refused, match="bytes"):
        read_request(data.tobytes()[:-3], {BINARY_HEADER: "0"}, square, 1000, 0)


@pytest.mark.parametrize(
    ("document", "word"),
    [
        pytest.param({"inputs": [], "id": 7}, "id", id="an id that is a number"),
        pytest.param({"inputs": [1]}, "objects", id="inputs that are numbers"),
        pytest.param({"inputs": [], "parameters": 1}, "parameters", id="parameters that are a number"),
        pytest.param({**request("FP32"), "outputs": [3]}, "outputs", id="outputs that are numbers"),
        pytest.param({**request("FP32"), "outputs": [{"name": "mask"}] * 2}, "asked for", id="an output twice"),
        pytest.param(
            {**request("FP32"), "outputs": [{"name": "mask", "parameters": {"binary_data": 1}}]},
            "binary_data",
            id="a wish that is a number",
        ),
        pytest.param(
            {**request("FP32", data=NUMBERS), "parameters": {"timeout": -1}}, "timeout", id="a negative timeout"
        ),
    ],
)
def test_a_wrong_request_is_refused_by_name(document: dict[str, Any], word: str):
    with pytest.raises(Refused, match=word):
        read(document, "FP32")


def test_a_timeout_comes_in_microseconds():
    assert read({**request("FP32", data=NUMBERS), "parameters": {"timeout": 1500}}, "FP32").timeout == 0.0015


@pytest.mark.parametrize("datatype", [name for name in DATATYPES if name != "BF16"])
def test_every_type_leaves_as_json_and_as_bytes(datatype: str):
    array = np.array(NUMBERS).astype(DATATYPES[datatype]).reshape(SHAPE)
    spec = TensorSpec("mask", datatype, (None, 3, None, None))
    body, length = write_answer({"id": "a"}, [(spec, False)], [array])
    output = json.loads(body)["outputs"][0]
    assert (length, output["shape"], output["datatype"], output["data"]) == (
        None,
        list(SHAPE),
        datatype,
        array.ravel().tolist(),
    )
    body, length = write_answer({}, [(spec, True)], [array[:, ::-1]])
    assert json.loads(body[:length])["outputs"][0]["parameters"] == {"binary_data_size": array.nbytes}
    np.testing.assert_array_equal(np.frombuffer(body[length:], array.dtype).reshape(SHAPE), array[:, ::-1])


def test_what_was_read_stays_as_it_was_whatever_is_read_after_it_and_whatever_is_still_being_refused():
    refusals = []
    for number in range(4):  # more than there are parsers with memory of their own: each refusal holds on to one
        with pytest.raises(Refused) as refused:
            read(request("FP32", data=[number] * 11), "FP32")
        refusals.append(refused)
    with ThreadPoolExecutor(4) as threads:
        asked = list(threads.map(lambda number: read(request("FP32", data=[number] * 12), "FP32"), range(40)))
    assert [one.items.tolist() for one in asked] == [np.full(SHAPE, number).tolist() for number in range(40)]
    assert all("12 elements, found 11" in str(refused.value.message) for refused in refusals)


def test_the_weight_of_json_grows_with_its_numbers():
    sparse, dense = json.dumps({"data": [0.1234567891234] * 100}), json.dumps({"data": [0] * 600})
    assert json_weight(dense.encode(), {}) > 4 * json_weight(sparse.encode(), {})
    assert json_weight(b"{}" + b"," * 1000, {BINARY_HEADER: "2"}) < 100
    long = b"," * 200_001
    assert json_weight(long, {}) == 33 * len(long)

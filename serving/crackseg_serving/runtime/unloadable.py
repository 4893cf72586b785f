"""Why a file could not be opened, in a sentence that says what to do.

Called by the sessions with what ONNX Runtime raised, which names lines of its own source and is long. Knows its words only to
say them better: what is not known here is told as the library tells it.
"""

from __future__ import annotations

import re
from typing import Final

from crackseg_serving.onnxfile import other_format

_KNOWN: Final = (
    (
        re.compile(r"(\S+)\(-?\d+\) is not a registered function/op|No Op registered for (\w+) with domain_version"),
        "its graph has the operator {0}, which {runtime} does not know: export the model with standard operators; custom ones are not loaded",
    ),
    (
        re.compile(r"IR version: (\d+), max supported IR version: (\d+)"),
        "its IR version is {0}, and {runtime} takes up to {1}: export it with an older release of onnx, or with that ir_version",
    ),
    (
        re.compile(r"Opset (\d+) is under development.* till opset (\d+)", re.DOTALL),
        "its opset is {0}, and {runtime} takes up to {1}: export it with that opset_version or a lower one",
    ),
    (
        re.compile(r"External data path (?:does not exist|escapes)"),
        "its weights are in another file, and a model is brought as one: save it with its weights inside (external_data=False in torch.onnx.export)",
    ),
    (
        re.compile(r"Type '([^']*)' of input parameter \(.*?\) of operator \((\S+)\) in node \((.*?)\) is invalid"),
        "its operator {1} (node {2!r}) is given {0}, which {runtime} does not compute it in: export the model in FP32, FP16 or quantized",
    ),
    (
        re.compile(r"Could not find an implementation for (\w+)\(\d+\) node with name '([^']*)'"),
        "{runtime} has no kernel for its operator {0} (node {1!r}) in the opset and type that it has there: export the model with another opset_version, in FP32, FP16 or quantized",
    ),
    (
        re.compile(r"No graph was found|protobuf parsing failed", re.IGNORECASE),
        "it is not ONNX, or truncated: look at what was exported, and whether all of it was copied",
    ),
)


def why(error: Exception, runtime: str, head: bytes = b"") -> str:
    """What is to be said of what the library raised; `runtime` is its name and version, `head` what the file begins with."""
    if kind := other_format(head):
        return f"it is {kind}, not ONNX: export it as ONNX"
    message = str(error)
    for pattern, words in _KNOWN:
        if found := pattern.search(message):
            return words.format(*(group for group in found.groups() if group), runtime=runtime)
    return f"{runtime} cannot load it: {sentence(error)}"


def sentence(error: Exception) -> str:
    """The first line of what the library says."""
    return str(error).strip().partition("\n")[0].removeprefix("[ONNXRuntimeError] : ")[:400]

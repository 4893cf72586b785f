"""What goes into a model and what comes out: read from the graph and its metadata, refused where it is no segmentation.

Pure: the session hands in what the graph declares; what only a real run shows is `settling`'s. Raises ModelFailure
(ContractMismatch) with what was expected and what was found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from typing_extensions import override

from crackseg_serving.failures import ModelFailure
from crackseg_serving.imaging import InputFormat, OutputFormat
from crackseg_serving.runtime.metadata import Channels, Layout, Metadata, parse_metadata
from crackseg_serving.values import value

#: ONNX Runtime's words for tensor types: the Open Inference Protocol's, and numpy's.
DATATYPES: Final = {
    "tensor(float)": "FP32",
    "tensor(float16)": "FP16",
    "tensor(double)": "FP64",
    "tensor(bool)": "BOOL",
    **{f"tensor({sign}int{bits})": f"{sign.upper()}INT{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "FP32": np.dtype(np.float32),
    "FP16": np.dtype(np.float16),
    "UINT8": np.dtype(np.uint8),
    "FP64": np.dtype(np.float64),
}
_INPUT_TYPES: Final = ("FP32", "FP16", "UINT8")
#: Types of an output that has a class's number for each pixel.
CLASS_NUMBERS: Final = ("INT64", "INT32", "UINT8", "BOOL")
_OUTPUT_TYPES: Final = ("FP32", "FP16", "FP64", *CLASS_NUMBERS)


@value
class TensorSpec:
    """One input or output. A dimension is None where the graph leaves it open."""

    name: str
    datatype: str
    shape: tuple[int | None, ...]

    @override
    def __str__(self) -> str:
        return f"{self.name!r} {self.datatype} [{', '.join('?' if size is None else str(size) for size in self.shape)}]"


@value
class Signature:
    """How to feed a model and how to read it."""

    input: TensorSpec
    output: TensorSpec
    input_format: InputFormat
    output_format: OutputFormat  # final after the warm-up
    height: int | None  # fixed by the graph
    width: int | None
    batch: int | None
    metadata: Metadata
    others: tuple[TensorSpec, ...] = ()  # outputs beside the mask, which only tensors' requests see

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """All outputs, the mask first."""
        return self.output, *self.others

    @property
    def multiple(self) -> tuple[int, int]:
        """What height and width of a tile must be multiples of."""
        step = self.metadata.multiple or 1
        return self.height or step, self.width or step


def read_signature(
    inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], properties: Mapping[str, str]
) -> Signature:
    """The signature that a graph declares."""
    metadata = parse_metadata(properties)
    image = _image_input(inputs)
    mask = _mask_output(outputs, metadata.output)
    layout = metadata.layout or _layout(image)
    channels = _channels(image, layout, metadata.channels)
    height, width = image.shape[2:4] if layout == "NCHW" else image.shape[1:3]
    count = 1 if channels == "GRAY" else 3
    for key, figures in (("mean", metadata.mean), ("std", metadata.std)):
        if len(figures) not in {1, count}:
            raise mismatch(f"crackseg.input.{key} with one figure a channel", f"{len(figures)} for {count} channel(s)")
    whole = image.datatype == "UINT8"
    form = InputFormat(
        layout=layout,
        channels=channels,
        maximum=255.0 if whole else metadata.maximum,
        mean=(0.0,) if whole else metadata.mean,
        std=(1.0,) if whole else metadata.std,
    )
    others = tuple(output for output in outputs if output != mask and _of_each_item(output, image))
    return Signature(image, mask, form, OutputFormat(), height, width, image.shape[0], metadata, others)


def whole_size(signature: Signature, wanted: tuple[int, int] | None) -> tuple[int, int] | None:
    """Height and width that a whole picture is scaled to for one run; None where it is cut into tiles.

    `wanted` is what the settings say: zeros for tiles, None where the model's metadata decide. Raises ModelFailure
    (ContractMismatch) where the graph does not take that size.
    """
    size = signature.metadata.size if wanted is None else wanted
    if size is None or 0 in size:
        return None
    fixed, multiple = (signature.height, signature.width), signature.multiple
    if any(side % step or (only and side != only) for side, step, only in zip(size, multiple, fixed, strict=True)):
        raise mismatch(
            f"an input size (INPUT_SIZE or crackseg.input.size) in multiples of {multiple[0]} x {multiple[1]}"
            f"{', which the graph fixes' if any(fixed) else ''}",
            f"{size[0]} x {size[1]}",
        )
    return size


def run_size(signature: Signature, wanted: tuple[int, int] | None, tile_size: int) -> int | tuple[int, int]:
    """What a run is made for: the whole picture's size where there is one, else the tile's. Raises as `whole_size`."""
    return whole_size(signature, wanted) or tile_size


def tile_shape(signature: Signature, size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width of the tiles: what the graph fixes, else `size` (one figure, or both) rounded up to the multiple."""
    tall, wide = signature.multiple
    height, width = size if isinstance(size, tuple) else (size, size)
    return signature.height or -(-height // tall) * tall, signature.width or -(-width // wide) * wide


def mismatch(expected: str, found: str) -> ModelFailure:
    """What is raised where a model is none that can be served."""
    return ModelFailure("ContractMismatch", f"expected {expected}, found {found}")


def _image_input(inputs: Sequence[TensorSpec]) -> TensorSpec:
    wanted = "one image input of rank 4, [N, C, H, W] or [N, H, W, C], of type " + ", ".join(_INPUT_TYPES)
    if len(inputs) != 1:
        raise mismatch(wanted, f"{len(inputs)} inputs: {', '.join(map(str, inputs)) or 'none'}")
    image = inputs[0]
    if len(image.shape) != 4 or image.datatype not in _INPUT_TYPES:
        raise mismatch(wanted, f"input {image}")
    return image


def _mask_output(outputs: Sequence[TensorSpec], name: str) -> TensorSpec:
    wanted = "one mask output [N, 1, H, W], [N, H, W] or [N, classes, H, W] of type " + ", ".join(_OUTPUT_TYPES)
    found = ", ".join(map(str, outputs)) or "none"
    named = [output for output in outputs if output.name == (name or "mask")]
    if name and not named:
        raise mismatch(f"an output called {name!r}, as crackseg.output.name says", found)
    named = named or list(outputs)
    if len(named) != 1:
        raise mismatch(
            wanted
            + " (of several, one is called 'mask' or named by crackseg.output.name; boxes with parts of masks, as YOLO gives, are none)",
            found,
        )
    mask = named[0]
    # An exporter may leave the rank out: the shape is then empty, and the warm-up decides.
    if mask.datatype not in _OUTPUT_TYPES or len(mask.shape) not in {0, 3, 4}:
        raise mismatch(wanted, f"output {mask}")
    return mask


def _of_each_item(output: TensorSpec, image: TensorSpec) -> bool:
    """Whether an output has something for each image, which can be shared out again after a run, in a type that travels."""
    return output.datatype in DATATYPES.values() and bool(output.shape) and output.shape[0] in {None, image.shape[0]}


def _layout(image: TensorSpec) -> Layout:
    """Channels come in ones or threes; sizes do not."""
    return "NHWC" if image.shape[3] in {1, 3} and image.shape[1] not in {1, 3} else "NCHW"


def _channels(image: TensorSpec, layout: Layout, named: Channels | None) -> Channels:
    count = image.shape[1 if layout == "NCHW" else 3]
    if count not in {1, 3, None}:
        raise mismatch("an image of 1 channel (grey) or 3 (colour)", f"{count} channels in input {image} ({layout})")
    if named is not None and count is not None and (named == "GRAY") != (count == 1):
        raise mismatch(f"channels as crackseg.input.channels={named} says", f"{count} in input {image}")
    return named or ("GRAY" if count == 1 else "RGB")

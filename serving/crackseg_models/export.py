"""From trained weights to a model file: normalisation folded away, probabilities out, metadata in. Needs torch and onnx."""

import copy
import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from crackseg_models.metadata import Metadata
from crackseg_models.network import CrackNet

OPSET = 17


class Probabilities(nn.Module):
    """The network with its sigmoid."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Picture to probabilities."""
        answer: Tensor = self.network(image).sigmoid()
        return answer


def fold(module: nn.Module) -> nn.Module:
    """A copy in which each convolution has taken in the batch normalisation behind it."""
    folded = copy.deepcopy(module).eval()
    for parent in [m for m in folded.modules() if isinstance(m, nn.Sequential)]:
        for index in range(len(parent) - 1):
            layer, following = parent[index], parent[index + 1]
            if isinstance(layer, nn.Conv2d) and isinstance(following, nn.BatchNorm2d):
                parent[index], parent[index + 1] = fuse_conv_bn_eval(layer, following), nn.Identity()
    return folded


def export(weights: Path, out: Path, metadata: Metadata) -> None:
    """Write `out`: input `image` [N,3,H,W], output `mask` [N,1,H,W], with N, H and W free."""
    network = CrackNet()
    network.load_state_dict(torch.load(weights, weights_only=True))
    model = Probabilities(fold(network)).eval()
    axes = {0: "batch", 2: "height", 3: "width"}
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of the older exporter's age: the newer one needs a package more for the same graph
        torch.onnx.export(
            model,
            (torch.rand(2, 3, 96, 128),),
            str(out),
            input_names=["image"],
            output_names=["mask"],
            dynamic_axes={"image": axes, "mask": axes},
            opset_version=OPSET,
            dynamo=False,
        )
    describe(out, metadata)


def describe(path: Path, metadata: Metadata) -> None:
    """Replace the metadata of a model file; the graph stays as it is."""
    model = onnx.load(path)
    del model.metadata_props[:]
    for key, value in metadata.properties().items():
        model.metadata_props.add(key=key, value=value)
    model.doc_string = f"{metadata.name} {metadata.version}: cracks in photographs of pavement"
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)

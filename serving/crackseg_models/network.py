"""The network: a compact residual U-Net that sees contrast, not brightness.

Called by `training` and `export`. Knows tensors only: no files, no pictures' origin. About 0.6 million parameters.

The first layer is fixed, not learned: it turns the picture into what survives another camera, another city and another
hour (colour relative to the whole picture, grey relative to its surroundings), so it is part of the exported graph.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as f

MULTIPLE = 16  # height and width must be multiples of this
WIDTHS = (16, 32, 64, 96)  # channels at 1/2, 1/4, 1/8 and 1/16 resolution


class Contrast(nn.Module):
    """RGB `[N,3,H,W]` (any affine scale) -> `[N,5,H,W]`: colour against the picture, grey against ~50 and ~150 pixels."""

    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Picture to contrasts."""
        grey = (image * self.weight).sum(1, keepdim=True)
        mean = grey.mean((2, 3), keepdim=True)
        spread = ((grey - mean).square().mean((2, 3), keepdim=True) + 1e-4).sqrt()
        size = (image.shape[2], image.shape[3])
        coarse, squares = f.avg_pool2d(grey, MULTIPLE), f.avg_pool2d(grey.square(), MULTIPLE)
        parts = [((image - mean) / spread).clamp(-4, 4)]
        for window in (3, 9):
            local = smooth(coarse, window)
            deviation = ((smooth(squares, window) - local.square()).clamp_min(0) + 1e-3 * spread.square() + 1e-4).sqrt()
            parts.append(((grey - enlarge(local, size)) / enlarge(deviation, size)).clamp(-4, 4))
        return torch.cat(parts, 1)


def smooth(x: Tensor, window: int) -> Tensor:
    """The mean over a square window, the border counting only what is inside."""
    return f.avg_pool2d(x, window, 1, window // 2, count_include_pad=False)


def enlarge(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear enlargement to `size`."""
    return f.interpolate(x, size=size, mode="bilinear", align_corners=False)


def conv(inputs: int, outputs: int, stride: int = 1, dilation: int = 1, groups: int = 1) -> nn.Sequential:
    """A 3x3 convolution with batch normalisation (folded away at export)."""
    layer = nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs))


def point(inputs: int, outputs: int) -> nn.Sequential:
    """A 1x1 convolution with batch normalisation."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


class Residual(nn.Module):
    """Two 3x3 convolutions around a short cut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = conv(width, width), conv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape in and out."""
        y: Tensor = x + self.second(f.relu(self.first(x)))
        return f.relu(y)


class Dilated(nn.Module):
    """A depthwise look `dilation` steps around, mixed by points: far sight for few parameters."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.look = conv(width, width, dilation=dilation, groups=width)
        self.mix, self.out = point(width, 2 * width), point(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape in and out."""
        y: Tensor = x + self.out(f.relu(self.mix(self.look(x))))
        return f.relu(y)


class CrackNet(nn.Module):
    """Picture `[N,3,H,W]` (H, W multiples of 16) -> logits `[N,1,H,W]`.

    Nothing learned runs at full resolution: the stem halves it with a wide kernel, the head answers four pixels at once.
    """

    def __init__(self) -> None:
        super().__init__()
        w1, w2, w3, w4 = WIDTHS
        self.contrast = Contrast()
        self.stem = nn.Sequential(nn.Conv2d(5, w1, 5, 2, 2, bias=False), nn.BatchNorm2d(w1))
        self.enc1 = Residual(w1)
        self.down2, self.enc2 = conv(w1, w2, 2), nn.Sequential(Residual(w2), Residual(w2))
        self.down3, self.enc3 = conv(w2, w3, 2), nn.Sequential(Residual(w3), Residual(w3))
        self.down4 = conv(w3, w4, 2)
        self.middle = nn.Sequential(*(Dilated(w4, d) for d in (1, 2, 4, 8, 1)))
        self.up3, self.dec3 = point(w4, w3), Residual(w3)
        self.up2, self.dec2 = point(w3, w2), Residual(w2)
        self.up1, self.dec1 = point(w2, w1), conv(w1, w1)
        self.head = nn.Conv2d(w1, 4, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Picture to logits."""
        x1 = self.enc1(f.relu(self.stem(self.contrast(image))))
        x2 = self.enc2(f.relu(self.down2(x1)))
        x3 = self.enc3(f.relu(self.down3(x2)))
        y = self.middle(f.relu(self.down4(x3)))
        y = self.dec3(f.relu(x3 + double(self.up3(y))))
        y = self.dec2(f.relu(x2 + double(self.up2(y))))
        y = f.relu(self.dec1(f.relu(x1 + double(self.up1(y)))))
        return f.pixel_shuffle(self.head(y), 2)


def double(x: Tensor) -> Tensor:
    """Twice the height and width, bilinear."""
    return f.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def parameters(network: nn.Module) -> int:
    """How many learned numbers the network has."""
    return sum(p.numel() for p in network.parameters())

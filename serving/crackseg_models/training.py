"""Training: crops from photographs and renderings, a loss that forgives borders, averaged weights, a time budget.

Called by the `train` command. Needs torch. Photographs that are held back (see `photographs`) are only measured on.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as f
from torch.utils.data import DataLoader, IterableDataset

from crackseg_models.augment import Example, crop, dress, mix, recolour
from crackseg_models.metrics import Score, count, score
from crackseg_models.network import MULTIPLE, CrackNet
from crackseg_models.photographs import Pair

SAVE_SECONDS = 240  # so that a training that is stopped loses little
MEAN, STD = 0.5, 0.25  # what the model's metadata tell every caller to subtract and divide by


@dataclass(frozen=True)
class Plan:
    """What one training may take and use."""

    minutes: float
    batch: int
    side: int
    rate: float
    threads: int
    seed: int


class Crops(IterableDataset[tuple[Tensor, Tensor]]):
    """An endless stream of crops; every source (a folder, or the renderings) with its own share."""

    def __init__(self, sources: list[list[Pair]], shares: list[float], side: int, seed: int) -> None:
        self.sources, self.shares, self.side, self.seed = sources, shares, side, seed
        self.cache: dict[Path, Example] = {}

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        cv2.setNumThreads(1)
        rng = np.random.default_rng((self.seed, time.time_ns()))
        while True:
            picture, mask = self._crop(rng)
            if rng.random() < 0.15:
                picture, mask = mix(rng, (picture, mask), self._crop(rng))
            if rng.random() < 0.8:
                picture = recolour(rng, picture)
            yield tensor(picture), torch.from_numpy((mask > 0).astype(np.float32))[None]

    def _crop(self, rng: np.random.Generator) -> Example:
        source = self.sources[int(rng.choice(len(self.sources), p=self.shares))]
        pair = source[int(rng.integers(0, len(source)))]
        if pair.image not in self.cache:
            self.cache[pair.image] = pair.read()
        return dress(rng, crop(rng, self.cache[pair.image], self.side))


def tensor(picture: np.ndarray) -> Tensor:
    """A picture [H, W, 3] as the network's input [3, H, W]."""
    return torch.from_numpy(((picture.astype(np.float32) / 255 - MEAN) / STD).transpose(2, 0, 1).copy())


def loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross entropy that counts the pixels at a border half, plus a Tversky loss over the batch."""
    wide, narrow = f.max_pool2d(truth, 3, 1, 1), -f.max_pool2d(-truth, 3, 1, 1)
    weight = 1 - 0.5 * (wide - narrow)
    entropy = f.binary_cross_entropy_with_logits(logits, truth * 0.98 + 0.01, weight)
    answer = logits.sigmoid()
    hits = (weight * answer * truth).sum()
    false, missed = (weight * answer * (1 - truth)).sum(), (weight * (1 - answer) * truth).sum()
    tversky = 1 - (hits + 1) / (hits + 0.5 * false + 0.5 * missed + 1)
    return entropy + 0.7 * tversky


class Averaged:
    """The running mean of the weights (and of the normalisations' statistics): calmer than the last step."""

    def __init__(self, network: nn.Module) -> None:
        self.state = {key: value.clone() for key, value in network.state_dict().items()}
        self.steps = 0

    def update(self, network: nn.Module) -> None:
        """Move towards the network's weights, quickly at first."""
        self.steps += 1
        keep = min(0.998, self.steps / (self.steps + 10))
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                self.state[key].lerp_(value, 1 - keep)
            else:
                self.state[key].copy_(value)


@torch.no_grad()
def measure(network: nn.Module, pairs: list[Pair]) -> Score:
    """Whole photographs, at their own size, at the threshold of a half."""
    network.eval()
    counts = []
    for pair in pairs:
        picture, mask = pair.read()
        height, width = mask.shape
        padded = np.pad(picture, ((0, -height % MULTIPLE), (0, -width % MULTIPLE), (0, 0)), mode="reflect")
        logits = network(tensor(padded)[None])[0, 0, :height, :width]
        counts.append(count(logits.numpy() > 0, mask > 0))
    network.train()
    return score(counts)


def train(
    sources: list[list[Pair]], shares: list[float], held_back: dict[str, list[Pair]], plan: Plan, out: Path
) -> None:
    """Train for `plan.minutes`, writing the averaged weights to `out` every few minutes, continuing from `out` if it is there."""
    torch.set_num_threads(plan.threads)
    torch.manual_seed(plan.seed)
    network = CrackNet()
    if out.exists():
        network.load_state_dict(torch.load(out, weights_only=True))
    network = network.to(memory_format=torch.channels_last)
    averaged = Averaged(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=0.02)
    crops = Crops(sources, shares, plan.side, plan.seed)
    began = saved = time.monotonic()
    running, step = 0.0, 0
    for step, (pictures, truths) in enumerate(_batches(crops, plan), 1):
        progress = (time.monotonic() - began) / (60 * plan.minutes)
        if progress >= 1:
            break
        warm, cool = min(1.0, step / 100), 0.5 * (1 + np.cos(np.pi * progress))
        for group in optimizer.param_groups:
            group["lr"] = plan.rate * warm * max(cool, 0.01)
        value = loss(network(pictures.contiguous(memory_format=torch.channels_last)), truths)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        averaged.update(network)
        running += (float(value.detach()) - running) / min(step, 200)
        if time.monotonic() - saved > SAVE_SECONDS:
            saved = time.monotonic()
            _save(averaged, out)
            print(time.strftime("%H:%M:%S"), f"{progress:.0%} step {step} loss {running:.3f}", flush=True)
    _save(averaged, out)
    _measure_all(averaged, held_back)


def _batches(crops: Crops, plan: Plan) -> DataLoader[tuple[Tensor, Tensor]]:
    """The crops in batches: from a process of their own where the training may use more than one thread."""
    if plan.threads == 1:
        return DataLoader(crops, plan.batch)
    # a forked worker would wait for ever for locks that OpenCV's threads held in this process
    return DataLoader(crops, plan.batch, num_workers=1, prefetch_factor=6, multiprocessing_context="spawn")


def _save(averaged: Averaged, out: Path) -> None:
    """Write the averaged weights, whole or not at all."""
    beside = out.with_suffix(".part")
    torch.save(averaged.state, beside)
    beside.replace(out)


def _measure_all(averaged: Averaged, held_back: dict[str, list[Pair]]) -> None:
    """Print the figures on the photographs kept apart."""
    network = CrackNet()
    network.load_state_dict(averaged.state)
    for name, pairs in held_back.items():
        figures = measure(network, pairs)
        print(
            f"{name}: IoU {figures.iou:.3f} F1 {figures.f1:.3f} on {figures.pictures} pictures kept apart", flush=True
        )

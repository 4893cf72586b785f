"""The server's settings: environment in, one frozen object out.

Read once by the command; every other room gets values. A setting that makes no sense ends the start with one
sentence that names the variable, what was found and what is expected.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from crackseg_serving import cgroup, contract
from crackseg_serving.values import value

DEVICES: Final = ("Auto", "CPU", "CUDA", "TensorRT")
PRECISIONS: Final = ("Exact", "Auto")
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")

# Names that only the server knows: its limits.
MAX_IMAGE_BYTES: Final = "MAX_IMAGE_BYTES"
MAX_IMAGE_PIXELS: Final = "MAX_IMAGE_PIXELS"
PAGE_PORT: Final = "PAGE_PORT"
MAX_QUEUE: Final = "MAX_QUEUE"
MAX_WAIT_SECONDS: Final = "MAX_WAIT_SECONDS"
REQUEST_TIMEOUT_SECONDS: Final = "REQUEST_TIMEOUT_SECONDS"
DRAIN_SECONDS: Final = "DRAIN_SECONDS"
ACCESS_LOG_SAMPLE: Final = "ACCESS_LOG_SAMPLE"
CLIENT_SECONDS: Final = "CLIENT_SECONDS"
TERMINATION_LOG: Final = "TERMINATION_LOG"

#: A name, or all names one label below it; a port where it is not the scheme's own. An address of figures is none.
_HOST: Final = re.compile(r"(\*\.)?([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)*[a-z]([-a-z0-9]*[a-z0-9])?(:[0-9]{1,5})?")


class SettingsError(ValueError):
    """A variable of the environment cannot be used."""


@value
class Settings:
    """Everything the server can be told. Sizes in pixels and bytes, times in seconds."""

    model_path: Path
    model_name: str
    model_version: str
    model_sha256: str
    device: str
    precision: str  # Exact: as the file says; Auto: what is fastest with the same masks
    host: str
    port: int
    grpc_port: int  # 0: no gRPC
    page_port: int  # one more for HTTP; 0: no other
    log_level: str
    batch_size: int | None  # None: what pays, found at warm-up
    batch_delay: float
    tile_size: int
    tile_overlap: int
    skip_empty_tiles: bool
    input_size: (
        tuple[int, int] | None
    )  # height, width of the whole picture in one run; zeros: tiles; None: the model says
    threshold_percent: int | None
    processors: int
    workers: int
    memory_limit: int
    max_bytes: int
    max_pixels: int
    max_queue: int
    max_wait: int
    request_timeout: int
    client_seconds: int  # how long a client may take to send its headers, or next to nothing of its body
    drain_seconds: int
    access_log_sample: float
    image_url_hosts: tuple[str, ...]  # where images may be fetched from
    engine_cache: Path  # where engines of TensorRT are kept
    termination_log: Path


def from_environment(env: Mapping[str, str] = os.environ) -> Settings:
    """The settings that `env` asks for. Raises SettingsError with one sentence for a person."""
    settings = _read(env, cgroup.processors())
    if settings.tile_overlap * 2 > settings.tile_size:
        raise SettingsError(
            f"{contract.TILE_OVERLAP} is {settings.tile_overlap}, but may be at most half of "
            f"{contract.TILE_SIZE}, which is {settings.tile_size}"
        )
    return settings


def _read(env: Mapping[str, str], processors: int) -> Settings:
    tile = _whole(env, contract.TILE_SIZE, 512, 32, 4096)
    return Settings(
        model_path=Path(_text(env, contract.MODEL_PATH, contract.MODEL_FILE)),
        model_name=_text(env, contract.MODEL_NAME, ""),
        model_version=_text(env, contract.MODEL_VERSION, ""),
        model_sha256=_text(env, contract.MODEL_SHA256, "").removeprefix("sha256:").lower(),
        device=_choice(env, contract.INFERENCE_DEVICE, "Auto", DEVICES),
        precision=_choice(env, contract.PRECISION, "Exact", PRECISIONS),
        host=_text(env, contract.APP_HOST, "0.0.0.0"),  # noqa: S104 - a pod's probes and proxies come from outside
        port=_whole(env, contract.APP_PORT, contract.PORT, 0, 65535),
        grpc_port=_whole(env, contract.APP_GRPC_PORT, contract.GRPC_PORT, 0, 65535),
        page_port=_whole(env, PAGE_PORT, 0, 0, 65535),
        log_level=_choice(env, contract.LOG_LEVEL, "INFO", LEVELS),
        batch_size=None if _automatic(env, contract.BATCH_SIZE) else _whole(env, contract.BATCH_SIZE, 1, 1, 256),
        batch_delay=_whole(env, contract.BATCH_DELAY_MILLISECONDS, 5, 0, 1000) / 1000,
        tile_size=tile,
        skip_empty_tiles=_choice(env, contract.SKIP_EMPTY_TILES, "Disabled", ("Disabled", "Enabled")) == "Enabled",
        tile_overlap=_whole(env, contract.TILE_OVERLAP, min(64, tile // 2), 0, 2048),
        input_size=_sides(env, contract.INPUT_SIZE),
        threshold_percent=_whole(env, contract.THRESHOLD_PERCENT, 0, 0, 99) or None,
        processors=processors,
        workers=_whole(env, contract.MAX_WORKERS, 2 * processors, 1, 1024),
        memory_limit=_whole(env, contract.MEMORY_LIMIT, cgroup.memory() or 4 << 30, 1 << 20, 1 << 50),
        max_bytes=_whole(env, MAX_IMAGE_BYTES, 128 << 20, 1024, 4 << 30),
        max_pixels=_whole(env, MAX_IMAGE_PIXELS, 400_000_000, 1024, 1 << 32),
        max_queue=_whole(env, MAX_QUEUE, 1024, 1, 100_000),
        max_wait=_whole(env, MAX_WAIT_SECONDS, 10, 1, 3600),
        request_timeout=_whole(env, REQUEST_TIMEOUT_SECONDS, 300, 1, 3600),
        client_seconds=_whole(env, CLIENT_SECONDS, 20, 1, 3600),
        drain_seconds=_whole(env, DRAIN_SECONDS, contract.DRAIN_SECONDS, 0, 600),
        access_log_sample=_share(env, ACCESS_LOG_SAMPLE, 0.0),
        image_url_hosts=_hosts(env, contract.IMAGE_URL_HOSTS),
        engine_cache=Path(_text(env, contract.ENGINE_CACHE, contract.ENGINE_FOLDER)),
        termination_log=Path(_text(env, TERMINATION_LOG, contract.TERMINATION_LOG)),
    )


def _text(env: Mapping[str, str], name: str, default: str) -> str:
    return env.get(name, "").strip() or default


def _choice(env: Mapping[str, str], name: str, default: str, choices: tuple[str, ...]) -> str:
    text = _text(env, name, default)
    found = next((choice for choice in choices if choice.lower() == text.lower()), None)
    if found is None:
        raise SettingsError(f"{name} is {text!r}, but must be one of {', '.join(choices)}")
    return found


def _automatic(env: Mapping[str, str], name: str) -> bool:
    return _text(env, name, "Auto").lower() == "auto"


def _sides(env: Mapping[str, str], name: str) -> tuple[int, int] | None:
    text = _text(env, name, "")
    sides = [part.strip() for part in text.split(",")]
    if not text:
        return None
    if text == "0":
        return 0, 0
    if len(sides) > 2 or not all(side.isdecimal() and 8 <= int(side) <= 4096 for side in sides):
        raise SettingsError(f"{name} is {text!r}, but must be 0 (tiles), or one size or height,width from 8 to 4096")
    return int(sides[0]), int(sides[-1])


def _hosts(env: Mapping[str, str], name: str) -> tuple[str, ...]:
    hosts = tuple(host for part in _text(env, name, "").split(",") if (host := part.strip().lower()))
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise SettingsError(
                f"{name} has {host!r}, but must have names of hosts such as photos.example.org, *.example.org or "
                "photos.example.org:8443, separated by commas"
            )
    return hosts


def _share(env: Mapping[str, str], name: str, default: float) -> float:
    text = _text(env, name, str(default))
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise SettingsError(f"{name} is {text!r}, but must be a number from 0 to 1")
    return share


def _whole(env: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = _text(env, name, str(default))
    try:
        number = int(text)
    except ValueError:
        raise SettingsError(f"{name} is {text!r}, but must be a whole number") from None
    # A default that the machine gives (its memory, its processors) is not the user's mistake.
    if not env.get(name, "").strip() and not least <= number <= most:
        return min(max(number, least), most)
    if not least <= number <= most:
        raise SettingsError(f"{name} is {number}, but must be between {least} and {most}")
    return number

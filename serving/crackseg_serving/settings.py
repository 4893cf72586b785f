"""The server's settings: environment in, one object out. Every variable, its default and its bounds stand here, once.

Read once by the command; every other room gets values. A setting that makes no sense is a SettingsError, which ends the
start with its sentence. docs/server.md lists all of them for users.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from crackseg_serving import cgroup, contract
from crackseg_serving.environment import SettingsError, choice, sha256, share, text, whole
from crackseg_serving.values import value

DEVICES: Final = ("Auto", "CPU", "CUDA", "TensorRT")
PRECISIONS: Final = ("Exact", "Auto")
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")

#: A name, or all names one label below it; a port where it is not the scheme's own. An address of figures is none.
_HOST: Final = re.compile(r"(\*\.)?([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)*[a-z]([-a-z0-9]*[a-z0-9])?(:[0-9]{1,5})?")


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
    ports = [port for port in (settings.port, settings.page_port, settings.grpc_port) if port]
    if len(set(ports)) < len(ports):
        raise SettingsError(
            f"{contract.APP_PORT}, PAGE_PORT and {contract.APP_GRPC_PORT} are {settings.port}, {settings.page_port} and "
            f"{settings.grpc_port}, but must differ"
        )
    if settings.tile_overlap * 2 > settings.tile_size:
        raise SettingsError(
            f"{contract.TILE_OVERLAP} is {settings.tile_overlap}, but may be at most half of "
            f"{contract.TILE_SIZE}, which is {settings.tile_size}"
        )
    return settings


def _read(env: Mapping[str, str], processors: int) -> Settings:
    tile = whole(env, contract.TILE_SIZE, 512, 32, 4096)
    return Settings(
        model_path=Path(text(env, contract.MODEL_PATH, contract.MODEL_FILE)),
        model_name=text(env, contract.MODEL_NAME, ""),
        model_version=text(env, contract.MODEL_VERSION, ""),
        model_sha256=sha256(env, contract.MODEL_SHA256),
        device=choice(env, contract.INFERENCE_DEVICE, "Auto", DEVICES),
        precision=choice(env, contract.PRECISION, "Exact", PRECISIONS),
        host=text(env, contract.APP_HOST, "0.0.0.0"),  # noqa: S104 - a pod's probes and proxies come from outside
        port=whole(env, contract.APP_PORT, contract.PORT, 0, 65535),
        grpc_port=whole(env, contract.APP_GRPC_PORT, contract.GRPC_PORT, 0, 65535),
        page_port=whole(env, "PAGE_PORT", 0, 0, 65535),
        log_level=choice(env, contract.LOG_LEVEL, "INFO", LEVELS),
        batch_size=None if _automatic(env, contract.BATCH_SIZE) else whole(env, contract.BATCH_SIZE, 1, 1, 256),
        batch_delay=whole(env, contract.BATCH_DELAY_MILLISECONDS, 5, 0, 1000) / 1000,
        tile_size=tile,
        skip_empty_tiles=choice(env, contract.SKIP_EMPTY_TILES, "Disabled", ("Disabled", "Enabled")) == "Enabled",
        tile_overlap=whole(env, contract.TILE_OVERLAP, min(64, tile // 2), 0, 2048),
        input_size=_sides(env, contract.INPUT_SIZE),
        threshold_percent=whole(env, contract.THRESHOLD_PERCENT, 0, 0, 99) or None,
        processors=processors,
        workers=whole(env, contract.MAX_WORKERS, 2 * processors, 1, 1024),
        memory_limit=whole(env, contract.MEMORY_LIMIT, cgroup.memory() or 4 << 30, 1 << 20, 1 << 50),
        max_bytes=whole(env, "MAX_IMAGE_BYTES", 128 << 20, 1024, 4 << 30),
        max_pixels=whole(env, "MAX_IMAGE_PIXELS", 400_000_000, 1024, 1 << 32),
        max_queue=whole(env, "MAX_QUEUE", 1024, 1, 100_000),
        max_wait=whole(env, "MAX_WAIT_SECONDS", 10, 1, 3600),
        request_timeout=whole(env, "REQUEST_TIMEOUT_SECONDS", 300, 1, 3600),
        client_seconds=whole(env, "CLIENT_SECONDS", 20, 1, 3600),
        drain_seconds=whole(env, "DRAIN_SECONDS", contract.DRAIN_SECONDS, 0, 600),
        access_log_sample=share(env, "ACCESS_LOG_SAMPLE", 0.0),
        image_url_hosts=_hosts(env, contract.IMAGE_URL_HOSTS),
        engine_cache=Path(text(env, contract.ENGINE_CACHE, contract.ENGINE_FOLDER)),
        termination_log=Path(text(env, "TERMINATION_LOG", contract.TERMINATION_LOG)),
    )


def _automatic(env: Mapping[str, str], name: str) -> bool:
    return text(env, name, "Auto").lower() == "auto"


def _sides(env: Mapping[str, str], name: str) -> tuple[int, int] | None:
    given = text(env, name, "")
    sides = [part.strip() for part in given.split(",")]
    if not given:
        return None
    if given == "0":
        return 0, 0
    if len(sides) > 2 or not all(side.isdecimal() and 8 <= int(side) <= 4096 for side in sides):
        raise SettingsError(
            f"{name} is {given!r}, but must be 0 (tiles), one size, or height,width, each from 8 to 4096"
        )
    return int(sides[0]), int(sides[-1])


def _hosts(env: Mapping[str, str], name: str) -> tuple[str, ...]:
    hosts = tuple(host for part in text(env, name, "").split(",") if (host := part.strip().lower()))
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise SettingsError(
                f"{name} has {host!r}, but must have names of hosts such as photos.example.org, *.example.org or "
                "photos.example.org:8443, separated by commas"
            )
    return hosts

"""Bring a model into place: stream it within bounds, hash, retry, verify, and only then rename it to its path.

Called by the init container's command. Whatever goes wrong, MODEL_PATH never names an incomplete or unverified file.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from crackseg_serving.failures import ModelFailure
from crackseg_serving.sources.location import parse_location, redact
from crackseg_serving.sources.opened import Transient
from crackseg_serving.sources.opening import Opener, opener
from crackseg_serving.sources.verify import check_onnx
from crackseg_serving.values import value


@value
class Bounds:
    """How far a download may go."""

    max_bytes: int = 4 << 30
    attempts: int = 6
    first_wait: float = 0.5  # seconds; doubles at each attempt
    read_timeout: float = 20.0  # seconds without a byte
    deadline: float = 1800.0  # seconds for everything


def fetch(
    uri: str, sha256: str, target: Path, env: Mapping[str, str], bounds: Bounds, say: Callable[[str], None]
) -> str:
    """Put the model of `uri` at `target`; returns its digest, "sha256:<64 hex>".

    Raises ModelFailure with the reason and a sentence for a person. `say` hears of retries.
    """
    shown = redact(uri)
    source = opener(parse_location(uri))
    part = target.with_name(f".{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = _with_retries(source, part, shown, env, bounds, say)
        if sha256 and digest != sha256:
            raise ModelFailure(
                "DigestMismatch",
                f"{shown} has sha256 {digest}, but spec.model.sha256 says {sha256}: the file was changed, or the digest belongs to another version",
            )
        check_onnx(part, shown)
        part.chmod(0o644)  # the server may run as another user than this container
        part.replace(target)
    except OSError as error:
        raise _disk_failure(error, target, shown) from None
    finally:
        part.unlink(missing_ok=True)
    return f"sha256:{digest}"


def _with_retries(
    source: Opener, part: Path, shown: str, env: Mapping[str, str], bounds: Bounds, say: Callable[[str], None]
) -> str:
    give_up = time.monotonic() + bounds.deadline
    wait = bounds.first_wait
    for attempt in range(1, bounds.attempts + 1):
        try:
            return _once(source, part, shown, env, bounds, give_up)
        except Transient as trouble:
            if attempt == bounds.attempts or time.monotonic() + wait > give_up:
                raise ModelFailure("ModelDownloadFailed", f"{trouble}; gave up after {attempt} attempts") from None
            say(f"{trouble}; trying again in {wait:g} s")
        time.sleep(wait)
        wait *= 2
    raise AssertionError("the last attempt returns or raises")


def _once(source: Opener, part: Path, shown: str, env: Mapping[str, str], bounds: Bounds, give_up: float) -> str:
    with source(env, bounds.read_timeout) as opened, part.open("wb") as file:
        if opened.size is not None and opened.size > bounds.max_bytes:
            raise _too_large(shown, bounds)
        sha256, written = hashlib.sha256(), 0
        for chunk in opened.chunks:
            written += len(chunk)
            if written > bounds.max_bytes:
                raise _too_large(shown, bounds)
            if time.monotonic() > give_up:
                raise ModelFailure(
                    "ModelDownloadFailed",
                    f"{shown} was not complete after {bounds.deadline:g} s, the limit set by MODEL_FETCH_DEADLINE_SECONDS",
                )
            sha256.update(chunk)
            file.write(chunk)
        _settle(file)
        if opened.size is not None and written < opened.size:
            raise Transient(f"{shown} broke off after {written} of {opened.size} bytes")
        return sha256.hexdigest()


def _settle(file: BinaryIO) -> None:
    """The bytes must be on the disk before the file gets its name."""
    file.flush()
    os.fsync(file.fileno())


def _too_large(shown: str, bounds: Bounds) -> ModelFailure:
    return ModelFailure(
        "ModelDownloadFailed",
        f"{shown} has more than {bounds.max_bytes} bytes, the limit set by MODEL_MAX_BYTES: is it the right file?",
    )


def _disk_failure(error: OSError, target: Path, shown: str) -> ModelFailure:
    folder = target.parent
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return ModelFailure("ModelDownloadFailed", f"the disk of {folder} is full: {shown} needs more room there")
    return ModelFailure("ModelDownloadFailed", f"{shown} could not be written to {folder}: {error.strerror or error}")

"""Model URIs: which scheme, which place, and how they may appear in a log.

Used by the download and by every sentence that names a URI.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from crackseg_serving.contract import CLAIM_FOLDER
from crackseg_serving.failures import ModelFailure
from crackseg_serving.values import value

_WEB: Final = frozenset({"http", "https"})
_UNSAFE: Final = re.compile(
    r"[^\x21-\x7e]"
)  # http.client refuses these with a message that has the whole query, secrets included
FORMS: Final = "s3://BUCKET/KEY, https://HOST/PATH, http://HOST/PATH, pvc://CLAIM/PATH or file:///PATH"


@value
class FileLocation:
    """A file in this container: an image's own, or on a mounted claim."""

    path: Path


@value
class WebLocation:
    """An address for GET. May hold a user, a password or a token in its query: never log it, log `redact(uri)`."""

    url: str


@value
class BucketLocation:
    """An object in an S3-compatible store."""

    bucket: str
    key: str


Location = FileLocation | WebLocation | BucketLocation


def parse_location(uri: str, claims: Path = Path(CLAIM_FOLDER)) -> Location:
    """Where `uri` points. Raises ModelFailure (ModelNotFound) with the forms that are understood."""
    try:
        parts = urlsplit(uri)
        port = parts.port if parts.scheme in _WEB else None
    except ValueError:
        raise _unknown(uri) from None
    path = unquote(parts.path)
    if parts.scheme in _WEB and parts.hostname and len(path) > 1 and port != 0 and not _UNSAFE.search(uri):
        return WebLocation(uri)
    if parts.scheme == "s3" and parts.netloc and len(path) > 1:
        # A key may hold any character, so neither "?" nor "#" ends it.
        return BucketLocation(parts.netloc, uri.removeprefix(f"s3://{parts.netloc}/"))
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and len(path) > 1:
        return FileLocation(Path(path))
    if parts.scheme == "pvc" and parts.netloc and len(path) > 1:
        return FileLocation(_on_claim(claims, parts, path, uri))
    raise _unknown(uri)


def _unknown(uri: str) -> ModelFailure:
    return ModelFailure(
        "ModelNotFound",
        f"the model's URI is {redact(uri)!r}, but must be {FORMS}, with spaces and letters beyond ASCII written as %XX",
    )


def _on_claim(claims: Path, parts: SplitResult, path: str, uri: str) -> Path:
    claim = claims / parts.netloc
    found = claim / path.lstrip("/")
    if parts.netloc in {".", ".."} or not found.resolve().is_relative_to(claim.resolve()):
        raise ModelFailure("ModelNotFound", f"{uri!r} leads out of the claim {parts.netloc!r}: name a file on it")
    return found


def redact(uri: str) -> str:
    """`uri` without user, password, query and fragment: what may stand in a log.

    >>> redact("https://user:secret@host/a.onnx?token=1")
    'https://***@host/a.onnx?***'
    """
    scheme, mark, rest = uri.partition("://")
    if not mark:
        return uri.partition("?")[0]
    place, slash, path = rest.partition("/")
    userinfo, at, host = place.rpartition("@")
    if scheme == "s3":
        return uri
    path, question, _ = path.partition("?")
    return f"{scheme}://{'***@' if userinfo or at else ''}{host}{slash}{path.partition('#')[0]}{'?***' if question else ''}"

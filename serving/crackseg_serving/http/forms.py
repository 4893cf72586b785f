"""The images in a body: the body itself, parts of a form, or base64 in JSON; and what the sender says beside them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import orjson
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from crackseg_serving.failures import Cause, Refused
from crackseg_serving.http.problems import Problem

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MOST_IMAGES: Final = 256  # in one request
_FORM_ALLOWANCE: Final = 1 << 16  # bytes that a form may have around its image
_MOST_PARTS: Final = 2 * MOST_IMAGES
_ARCHIVES: Final = frozenset({b"application/zip", b"application/x-zip-compressed"})
_PLAIN: Final = frozenset({b"", b"application/octet-stream", b"application/x-www-form-urlencoded"})


@dataclass(frozen=True, slots=True)
class Sent:
    """What has come: the images with the names of their files, in order."""

    images: tuple[tuple[str, bytes], ...]
    many: bool = False  # the answer is a list, however many there are
    archive: bool = False
    world_file: str | None = None


def image_limit(content_type: str, limit: int) -> int:
    """How many bytes a body of this type may have so that its images have at most `limit`."""
    kind = content_type.lower()
    if kind.startswith("application/json"):
        return limit * 4 // 3 + _FORM_ALLOWANCE
    return limit + _FORM_ALLOWANCE if kind.startswith("multipart/") else limit


def images_of(body: bytes, content_type: str, limit: int, grow: Callable[[int], None]) -> Sent:
    """The encoded images in a body: the body itself, a form's parts `image` or `images`, `{"image": "base64"}`, a zip archive's files.

    What an archive unpacks to has at most `limit` bytes, of which `grow` hears first.

    Raises Refused (BAD_REQUEST, TOO_MANY_BYTES) with what is missing, Problem 415 for a type that holds no image.
    """
    kind, options = parse_options_header(content_type)
    if kind == b"multipart/form-data":
        sent = _from_form(body, options.get(b"boundary", b""))
    elif kind == b"application/json":
        sent = Sent((("", _from_json(body)),))
    elif kind in _ARCHIVES:
        from crackseg_serving.http.archive import unpack  # what few send, the start need not wait for

        sent = Sent(unpack(body, MOST_IMAGES, limit, grow), many=True, archive=True)
    elif kind in _PLAIN or kind.startswith(b"image/"):
        sent = Sent((("", body),))
    else:
        raise Problem(
            415,
            "Unsupported media type",
            f"{kind.decode('latin-1')} holds no image: send image/jpeg, image/png …, multipart/form-data, application/json or "
            "application/zip",
        )
    if not sent.many and not sent.images[0][1]:
        raise Refused(
            Cause.BAD_REQUEST,
            "there is no image in the request: send its bytes as the body, or as part `image` of a form",
        )
    return sent


def _from_json(body: bytes) -> bytes:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(Cause.BAD_REQUEST, f"the body is not JSON: {error}") from None
    text = document.get("image") if isinstance(document, dict) else None
    if not isinstance(text, str):
        raise Refused(Cause.BAD_REQUEST, 'the JSON has no image: send {"image": "the file in base64"}')
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(Cause.BAD_REQUEST, f"`image` is not base64: {error}") from None


@dataclass(slots=True)
class _Part:
    name: str = ""
    file: str = ""
    content: bytearray = field(default_factory=bytearray)


class _Form:
    """Callbacks for the parser: collects the parts."""

    def __init__(self) -> None:
        self.parts: list[_Part] = []
        self._header = (bytearray(), bytearray())

    def on_part_begin(self) -> None:
        if len(self.parts) == _MOST_PARTS:
            raise ValueError(f"it has more than {_MOST_PARTS} parts")
        self.parts.append(_Part())

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def on_header_end(self) -> None:
        name, value = bytes(self._header[0]).lower(), bytes(self._header[1])
        self._header = (bytearray(), bytearray())
        if name == b"content-disposition":
            options = parse_options_header(value)[1]
            self.parts[-1].name = options.get(b"name", b"").decode("utf-8", "replace")
            self.parts[-1].file = options.get(b"filename", b"").decode("utf-8", "replace")[:255]

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].content.extend(memoryview(data)[start:end])


def _from_form(body: bytes, boundary: bytes) -> Sent:
    form = _Form()
    callbacks: MultipartCallbacks = {
        "on_part_begin": form.on_part_begin,
        "on_header_field": form.on_header_field,
        "on_header_value": form.on_header_value,
        "on_header_end": form.on_header_end,
        "on_part_data": form.on_part_data,
    }
    try:
        parser = MultipartParser(boundary, callbacks)
        parser.write(body)
        parser.finalize()
    except (MultipartParseError, ValueError) as error:
        raise Refused(Cause.BAD_REQUEST, f"the form could not be read: {error}") from None
    found = [part for part in form.parts if part.name in {"image", "images"}]
    if not found:
        names = ", ".join(sorted({part.name for part in form.parts})[:8]) or "none"
        raise Refused(Cause.BAD_REQUEST, f"the form has no part named `image`; its parts: {names}")
    if len(found) > MOST_IMAGES:
        raise Refused(Cause.BAD_REQUEST, f"the form has {len(found)} images: send {MOST_IMAGES} at most")
    many = len(found) > 1 or found[0].name == "images"
    world = next((part.content for part in form.parts if part.name == "worldfile"), None)
    return Sent(
        tuple((part.file, bytes(part.content)) for part in found),
        many=many,
        world_file=None if world is None else bytes(world[:1024]).decode("ascii", "replace"),
    )

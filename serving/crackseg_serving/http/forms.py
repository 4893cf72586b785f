"""The images in a request's body: the body itself, parts of a form, base64 or a URL in JSON, files of an archive.

Called by `segmenting`. Pure, except that an archive's size is announced before it is unpacked.
"""

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
from crackseg_serving.values import value

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MOST_IMAGES: Final = 256  # in one request
_FORM_ALLOWANCE: Final = 1 << 16  # bytes that a form may have around its image
_MOST_PARTS: Final = 2 * MOST_IMAGES
_ARCHIVES: Final = frozenset({b"application/zip", b"application/x-zip-compressed"})
_PLAIN: Final = frozenset({b"", b"application/octet-stream", b"application/x-www-form-urlencoded"})


@value
class Sent:
    """What a body holds: the images with their file names, in order."""

    images: tuple[tuple[str, bytes], ...]
    many: bool = False  # the answer is a list, even for one image
    archive: bool = False
    world_file: str | None = None
    url: str | None = None  # where the one image is still to be fetched from


def image_limit(content_type: str, limit: int) -> int:
    """How many bytes a body of this content type may have if its images may have `limit`."""
    kind = content_type.lower()
    if kind.startswith("application/json"):
        return limit * 4 // 3 + _FORM_ALLOWANCE
    return limit + _FORM_ALLOWANCE if kind.startswith("multipart/") else limit


def images_of(body: bytes, content_type: str, limit: int, grow: Callable[[int], None]) -> Sent:
    """The encoded images in a body: itself, a form's parts `image` or `images`, `{"image": "base64"}`, a zip archive's files.

    Or the URL of one: `{"url": "https://…"}`, or a form's part `url`. An archive may unpack to at most `limit` bytes; `grow` is called
    with their number before it is unpacked. Raises Refused (BAD_REQUEST, TOO_MANY_BYTES, OVERLOADED), or Problem 415 for a content
    type that holds no image.
    """
    kind, options = parse_options_header(content_type)
    if kind == b"multipart/form-data":
        sent = _from_form(body, options.get(b"boundary", b""))
    elif kind == b"application/json":
        sent = _from_json(body)
    elif kind in _ARCHIVES:
        from crackseg_serving.http.archive import unpack  # rarely needed, so not part of every start

        sent = Sent(unpack(body, MOST_IMAGES, limit, grow), many=True, archive=True)
    elif kind in _PLAIN or kind.startswith(b"image/"):
        sent = Sent((("", body),))
    else:
        raise Problem(
            415,
            "Unsupported media type",
            f"the content type {kind.decode('latin-1')!r:.100} is not supported: send image/jpeg, image/png …, multipart/form-data, "
            "application/json or application/zip",
        )
    if not sent.many and sent.url is None and not sent.images[0][1]:
        raise Refused(
            Cause.BAD_REQUEST,
            "the request has no image: send its bytes as the body, or as the part `image` of a form",
        )
    return sent


def _from_json(body: bytes) -> Sent:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(Cause.BAD_REQUEST, f"the body is not JSON: {error}") from None
    fields = document if isinstance(document, dict) else {}
    text, url = fields.get("image"), fields.get("url")
    if isinstance(url, str) and text is None:
        return Sent((), url=url)
    if not isinstance(text, str) or url is not None:
        raise Refused(
            Cause.BAD_REQUEST,
            'the JSON has no image: it must be {"image": "the file in base64"} or {"url": "https://…"}',
        )
    try:  # many base64 encoders break lines after 76 characters
        return Sent((("", base64.b64decode(text.replace("\n", "").replace("\r", ""), validate=True)),))
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
        raise Refused(Cause.BAD_REQUEST, f"the form is malformed: {error}") from None
    found = [part for part in form.parts if part.name in {"image", "images"}]
    urls = [part.content.decode("utf-8", "replace").strip() for part in form.parts if part.name == "url"]
    if urls and (found or len(urls) > 1):
        raise Refused(
            Cause.BAD_REQUEST, "the form has several parts `url`, or a `url` and images: send one or the other"
        )
    if not found and not urls:
        names = ", ".join(sorted({part.name for part in form.parts})[:8]) or "no part at all"
        raise Refused(Cause.BAD_REQUEST, f"the form has no part named `image`, only: {names}")
    if len(found) > MOST_IMAGES:
        raise Refused(Cause.BAD_REQUEST, f"the form has {len(found)} images: send at most {MOST_IMAGES}")
    many = len(found) > 1 or any(part.name == "images" for part in found)
    world = next((part.content for part in form.parts if part.name == "worldfile"), None)
    return Sent(
        tuple((part.file, bytes(part.content)) for part in found),
        many=many,
        world_file=None if world is None else bytes(world[:1024]).decode("ascii", "replace"),
        url=urls[0] if urls else None,
    )

"""Read a picture's format, size and orientation from its header, and check that the end of the file is there.

Called by `decode` before any pixel is decoded: OpenCV cannot tell the size alone, and some of its versions accept a file that
ends early without an error. Every reader advances by at least one byte per step, so no input can make it hang. Why this
is not a library's job: docs/decisions/0007.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import field
from typing import Final

from crackseg_serving.imaging.errors import ImageError, NotAnImage, TruncatedImage, UnsupportedImage
from crackseg_serving.imaging.tiff import read_orientation, read_tiff
from crackseg_serving.values import value


@value
class ImageFacts:
    """What a picture's header says."""

    format: str  # JPEG | PNG | TIFF | WebP | BMP
    width: int  # as stored, before the orientation is applied
    height: int
    orientation: int = 1  # EXIF's 1..8
    #: The memory in bytes that decoding strip by strip takes for the whole picture (the coefficients of a progressive JPEG);
    #: None where the format or its coding cannot be decoded in strips.
    held: int | None = field(default=None, compare=False)

    @property
    def upright(self) -> tuple[int, int]:
        """Height and width as a person sees the picture."""
        return (self.height, self.width) if self.orientation < 5 else (self.width, self.height)


#: No encoder makes more segments or chunks; walking them takes a tenth of a second.
_MAXIMUM_PARTS: Final = 200_000
#: Scans of a JPEG after its first: ten are usual. Each goes over the whole picture however few bytes it has.
_MAXIMUM_SCANS: Final = 100
#: Chunks of a PNG beside the pixels: decoders are slow with them, and complain of each.
_MAXIMUM_NOTES: Final = 1_000

_REFUSED: Final = (
    (re.compile(rb"GIF8[79]a"), "GIF"),
    (re.compile(rb"....ftyp(hei[cxms]|mif1|msf1)", re.DOTALL), "HEIC"),
    (re.compile(rb"....ftypavi[fs]", re.DOTALL), "AVIF"),
    (re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"), "JPEG 2000"),
    (re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "), "JPEG XL"),
    (re.compile(rb"%PDF-"), "PDF"),
    (re.compile(rb"\s*(<\?xml|<svg)"), "SVG"),
    (re.compile(rb"P[1-7]\s"), "PNM"),
    (re.compile(rb"8BPS"), "Photoshop"),
    (re.compile(rb"PK\x03\x04"), "ZIP archive"),
    (re.compile(rb"\x76\x2f\x31\x01"), "OpenEXR"),
)


def read_facts(data: bytes | bytearray | memoryview) -> ImageFacts:
    """The kind, size and orientation of a picture, without decoding it.

    Raises NotAnImage, UnsupportedImage or TruncatedImage.
    """
    head = bytes(data[:64])
    for magic, reader in _READERS:
        if magic.match(head):
            return _read(reader, data)
    for magic, name in _REFUSED:
        if magic.match(head):
            raise UnsupportedImage(f"the file is {name}, which is not supported: send JPEG, PNG, TIFF, WebP or BMP")
    if not head:
        raise NotAnImage("the image is empty: send a file in JPEG, PNG, TIFF, WebP or BMP")
    raise NotAnImage("the bytes are not an image: send a file in JPEG, PNG, TIFF, WebP or BMP")


def _read(reader: Callable[[bytes], ImageFacts], data: bytes | bytearray | memoryview) -> ImageFacts:
    try:
        facts = reader(data if isinstance(data, bytes) else bytes(data))
    except (struct.error, IndexError, OverflowError) as error:
        raise TruncatedImage("the image file ends before its header does: send the whole file") from error
    except ImageError:
        raise
    if facts.width < 1 or facts.height < 1:
        raise TruncatedImage("the image's header gives no size, so the file is damaged: send the original")
    return facts


def damaged(facts: ImageFacts) -> TruncatedImage:
    """The error for a file whose pixels cannot be decoded."""
    return TruncatedImage(
        f"the {facts.format} file is damaged or ends early, and its pixels cannot be decoded: send the original, whole file"
    )


def _ends_early(kind: str) -> TruncatedImage:
    return TruncatedImage(f"the {kind} file ends before the image does: send the whole file")


def _too_many_parts(kind: str) -> TruncatedImage:
    return TruncatedImage(f"the {kind} file has too many parts, so it is damaged: send the original, or save it again")


#: Before the compressed part of a JPEG: what begins a segment. In that part no end marker can stand but the end's.
_JPEG_MARKER: Final = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_JPEG_SIZES: Final = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
#: Lossless, hierarchical and JPEG-LS: kinds of which no decoder here can be sure.
_JPEG_UNUSUAL: Final = frozenset({0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7})
_JPEG_LARGEST: Final = 65_500  # of a side, for every decoder
_JPEG_PROGRESSIVE: Final = 0xC2
_JPEG_STREAMS: Final = frozenset({0xC0, 0xC1, _JPEG_PROGRESSIVE})
_JPEG_START_OF_SCAN, _JPEG_END, _JPEG_EXIF = 0xDA, 0xD9, 0xE1
_JPEG_ENDS, _JPEG_SCANS = b"\xff\xd9", b"\xff\xda"


def _read_jpeg(data: bytes) -> ImageFacts:
    """Walk the segments to the first scan (thumbnails inside them are stepped over); from there the end marker is looked for.

    It is looked for backwards: the pixels, nearly all of the file, are not walked.
    """
    at, frame, orientation = 2, b"", 1
    for _ in range(_MAXIMUM_PARTS):
        found = _JPEG_MARKER.search(data, at)
        if found is None:
            raise _ends_early("JPEG")
        marker, at = found[1][0], found.end()
        if marker in (0x01, 0xD8, _JPEG_END):
            continue  # markers without a length
        if marker in _JPEG_UNUSUAL:
            raise UnsupportedImage(
                "the file is a lossless or otherwise unusual kind of JPEG, which is not supported: send it as PNG"
            )
        length = struct.unpack_from(">H", data, at)[0]
        if marker in _JPEG_SIZES and not frame:
            frame = data[at - 1 : at + length]
        elif marker == _JPEG_EXIF and data[at + 2 : at + 8] == b"Exif\0\0":
            orientation = read_orientation(data[at + 8 : at + length])
        at += max(length, 2)
        if marker == _JPEG_START_OF_SCAN:
            facts = _jpeg_facts(frame, orientation, in_first_scan=data[at - length + 2])
            _check_scans(data, at, facts)
            return facts
    raise _too_many_parts("JPEG")


def _check_scans(data: bytes, at: int, facts: ImageFacts) -> None:
    """Refuse a file whose end is missing, and one of many scans; `at` is behind the head of the first."""
    if data.rfind(_JPEG_ENDS, at) < 0:
        raise _ends_early("JPEG")
    if facts.held != 0 and data.count(_JPEG_SCANS, at) > _MAXIMUM_SCANS:  # 0: nothing is read after the first
        raise _too_many_parts("JPEG")


def _jpeg_facts(frame: bytes, orientation: int, in_first_scan: int) -> ImageFacts:
    height, width = struct.unpack_from(">HH", frame, 4)
    if max(height, width) > _JPEG_LARGEST:
        raise UnsupportedImage(f"the JPEG has a side of more than {_JPEG_LARGEST} pixels: send it as PNG or TIFF")
    return ImageFacts("JPEG", width, height, orientation, _jpeg_coefficients(frame, width * height, in_first_scan))


def _jpeg_coefficients(frame: bytes, pixels: int, in_first_scan: int) -> int | None:
    """The bytes of coefficients that a decoder has to keep: none where one scan has all components from top to bottom."""
    if frame[0] not in _JPEG_STREAMS:
        return None
    number = frame[8]
    shares = [(frame[10 + 3 * k] >> 4) * (frame[10 + 3 * k] & 15) for k in range(number)]
    if frame[0] != _JPEG_PROGRESSIVE and in_first_scan == number:
        return 0
    return 2 * pixels * sum(shares) // max([*shares, 1])


def _read_png(data: bytes) -> ImageFacts:
    if data[12:16] != b"IHDR":
        raise TruncatedImage("the PNG file has no header chunk, so it is damaged: send the original")
    width, height = struct.unpack_from(">II", data, 16)
    orientation, at, notes = 1, 8, 0
    for _ in range(_MAXIMUM_PARTS):
        if at + 12 > len(data):
            raise _ends_early("PNG")
        length, kind = struct.unpack_from(">I4s", data, at)
        if at + 12 + length > len(data):
            raise _ends_early("PNG")
        notes += kind[0] >> 5 & 1  # a small letter: it can be left out
        if notes > _MAXIMUM_NOTES:
            break
        if kind == b"eXIf":
            orientation = read_orientation(data[at + 8 : at + 8 + length])
        if kind == b"IEND":
            return ImageFacts("PNG", width, height, orientation, 0 if data[28] == 0 else None)
        at += 12 + length
    raise _too_many_parts("PNG")


def _read_webp(data: bytes) -> ImageFacts:
    size = struct.unpack_from("<I", data, 4)[0] + 8
    if size > len(data) + 1:  # the padding byte of the last chunk may be missing
        raise _ends_early("WebP")
    kind, body = data[12:16], 20
    if kind == b"VP8 ":
        if data[body + 3 : body + 6] != b"\x9d\x01\x2a":
            raise TruncatedImage("the WebP file has no frame, so it is damaged: send the original")
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, body + 6))
        return ImageFacts("WebP", width, height)
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, body + 1)[0]
        return ImageFacts("WebP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind != b"VP8X":
        raise TruncatedImage("the WebP file has no image chunk, so it is damaged: send the original")
    if data[body] & 0x02:
        raise UnsupportedImage("the file is an animated WebP, which is not supported: send a single picture")
    width = int.from_bytes(data[body + 4 : body + 7], "little") + 1
    height = int.from_bytes(data[body + 7 : body + 10], "little") + 1
    return ImageFacts("WebP", width, height, _webp_orientation(data, size))


def _webp_orientation(data: bytes, size: int) -> int:
    at = 12
    for _ in range(_MAXIMUM_PARTS):
        if at + 8 > min(size, len(data)):
            break
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"EXIF":
            return read_orientation(data[at + 8 : at + 8 + length].removeprefix(b"Exif\0\0"))
        at += 8 + length + length % 2
    return 1


_BMP_MASKS: Final = 3  # a pixel's bits, and which of them are red, green and blue
_BMP_COLOURS: Final = frozenset(
    {(32, 0xFF0000, 0xFF00, 0xFF), (16, 0xF800, 0x7E0, 0x1F), (16, 0x7C00, 0x3E0, 0x1F)}
)  # the order that decoders take for granted


def _read_bmp(data: bytes) -> ImageFacts:
    start, header = struct.unpack_from("<I", data, 10)[0], struct.unpack_from("<I", data, 14)[0]
    if header == 12:
        width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, depth, compression = struct.unpack_from("<iiHHI", data, 18)
    height = abs(height)
    if compression not in (0, _BMP_MASKS):
        raise UnsupportedImage("the file is a compressed BMP, which is not supported: send it as PNG")
    if compression == _BMP_MASKS and (depth, *struct.unpack_from("<III", data, 54)) not in _BMP_COLOURS:
        raise UnsupportedImage("the BMP has its colours in an unusual order, which is not supported: send it as PNG")
    if start + (width * depth + 31) // 32 * 4 * height > len(data):
        raise _ends_early("BMP")
    return ImageFacts("BMP", width, height)


def _read_tiff(data: bytes) -> ImageFacts:
    width, height, orientation, held = read_tiff(data)
    return ImageFacts("TIFF", width, height, orientation, held)


_READERS: Final[tuple[tuple[re.Pattern[bytes], Callable[[bytes], ImageFacts]], ...]] = (
    (re.compile(rb"\xff\xd8\xff"), _read_jpeg),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), _read_png),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), _read_tiff),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), _read_webp),
    (re.compile(rb"BM"), _read_bmp),
)

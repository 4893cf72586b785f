"""The images in a zip archive, unpacked in memory: the total size is bounded before anything is unpacked, and names are only echoed.

Called by `forms`. Stored or deflated files; no comment, no zip64, no encryption: photographs need no more. An archive within the
archive is a file like any other, and not an image.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Final

from crackseg_serving.failures import Cause, Refused

_END: Final = struct.Struct("<4sHHHHIIH")  # the end of central directory record
_ZIP64: Final = b"PK\x06\x07"
_A_NAME: Final = 1024  # bytes that an entry of the directory has at most
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED: Final = 1


def unpack(data: bytes, most: int, limit: int, grow: Callable[[int], None]) -> tuple[tuple[str, bytes], ...]:
    """At most `most` files of at most `limit` bytes in total, with their names; folders and macOS's extra files are left out.

    `grow` is called with the number of bytes before they are unpacked. Raises Refused (BAD_REQUEST, TOO_MANY_BYTES, OVERLOADED).
    """
    _check_directory(data, most)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = [info for info in archive.infolist() if not _is_extra(info)]
            _check(files, limit)
            grow(sum(info.file_size for info in files))
            return tuple((info.filename[:255], _content(archive, info)) for info in files)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError) as error:
        raise _bad(f"it is damaged: {error}") from None


def _check_directory(data: bytes, most: int) -> None:
    """Refuse a directory of more than `most` files before it is read: a million names would fill the memory."""
    if len(data) < _END.size:
        raise _bad("it is truncated: send the whole file")
    signature, _, _, _, count, size, _, comment = _END.unpack(data[-_END.size :])
    if signature != b"PK\x05\x06" or comment or data[-_END.size - 20 :].startswith(_ZIP64):
        raise _bad("it is truncated, or has a comment or the zip64 format: create it without these")
    if count > most or size > most * _A_NAME:
        raise _bad(f"it has {count} files: send at most {most}")


def _check(files: list[zipfile.ZipInfo], limit: int) -> None:
    if not files:
        raise _bad("there are no files in it")
    if any(info.compress_type not in _METHODS or info.flag_bits & _ENCRYPTED for info in files):
        raise _bad("it has files that are encrypted, or compressed otherwise than with deflate")
    total = sum(info.file_size for info in files)
    if total > limit:
        raise Refused(
            Cause.TOO_MANY_BYTES,
            f"the archive unpacks to {total} bytes, more than the {limit} allowed: send it in parts",
        )


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """The file's bytes, never more than its entry announces: `read` without a number would unpack everything first."""
    with archive.open(info) as file:
        return file.read(info.file_size)


def _is_extra(info: zipfile.ZipInfo) -> bool:
    return info.is_dir() or info.filename.startswith("__MACOSX/") or info.filename.endswith(".DS_Store")


def _bad(why: str) -> Refused:
    return Refused(Cause.BAD_REQUEST, f"the archive cannot be read: {why}")

"""What every answer carries in its headers or metadata: the request's id, and text that may stand there.

Called by the skins, HTTP's and gRPC's, so that an id looks the same whoever was asked. Knows no protocol.
"""

from __future__ import annotations

import itertools
import os
from typing import Final

REQUEST_ID: Final = "x-request-id"
_LONGEST: Final = 128  # characters of a client's own id
#: New ids: eight digits for this process, eight that count. No call that lets go of the interpreter for each request.
_PROCESS: Final = os.urandom(4).hex()
_NUMBERS: Final = itertools.count(1)


def request_id(given: str) -> str:
    """The client's own id if it is sane, else a new one."""
    if 0 < len(given) <= _LONGEST and given.isascii() and given.isprintable():
        return given
    return f"{_PROCESS}{next(_NUMBERS):08x}"


def printable(text: str) -> str:
    """`text`, which a client or a model's author may have written, as a header may hold it: others' signs become question marks."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(sign if sign.isascii() and sign.isprintable() else "?" for sign in text)

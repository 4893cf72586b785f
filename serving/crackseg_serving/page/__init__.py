"""The page at `/`: one document, made once from its parts beside this file, with everything in it and nothing from elsewhere.

Called by the HTTP skin, which knows how documents are sent. One document and not one a part: while a rollout shares the traffic,
parts of two versions would meet. Knows files; may not know HTTP's requests, the engine or the model, which the page asks for itself.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Final

from crackseg_serving.values import value

_FOLDER: Final = Path(__file__).parent
#: The modules, each after those that it imports.
SCRIPTS: Final = ("server", "files", "queue", "figures", "table", "downloads", "picture", "list", "arrivals", "page")
_IMPORT: Final = re.compile(r'^import \{ [^}]+ \} from "\./\w+\.js";\n', re.MULTILINE)
_EXPORT: Final = re.compile(r"^export ", re.MULTILINE)


@value
class Page:
    """The document as it is sent."""

    body: bytes
    compressed: bytes  # the same as gzip
    digest: str  # of the body: 16 hexadecimal digits
    policy: str  # the Content-Security-Policy that lets these very scripts and styles in, and no others


@cache
def page() -> Page:
    """The page."""
    style, script = _text("page.css"), _script()
    text = _text("page.html").replace("{style}", style).replace("{script}", script)
    body = text.encode()
    return Page(body, gzip.compress(body, 9, mtime=0), hashlib.sha256(body).hexdigest()[:16], _policy(script, style))


def _script() -> str:
    """All modules as one: what one exports another sees, so no two may give one name to two things (a test holds it)."""
    modules = (_text(f"script/{name}.js") for name in SCRIPTS)
    return "".join(_EXPORT.sub("", _IMPORT.sub("", module)) for module in modules)


def _policy(script: str, style: str) -> str:
    rules = {
        "default-src": "'none'",
        "script-src": _source(script),
        "style-src": _source(style),
        "img-src": "data: blob:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")

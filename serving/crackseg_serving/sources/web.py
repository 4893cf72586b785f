"""Models behind http:// and https://, with the standard library alone.

Credentials come from the environment (HTTP_BEARER_TOKEN, or HTTP_USERNAME and HTTP_PASSWORD) or the URL's userinfo, and
stay with the host they were meant for: a redirect to another one is followed without them.
"""

from __future__ import annotations

import base64
import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from typing import IO
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from typing_extensions import override

from crackseg_serving.failures import ModelFailure
from crackseg_serving.sources.location import redact
from crackseg_serving.sources.opened import CHUNK_BYTES, Opened, Transient

_WORTH_A_RETRY = frozenset({408, 425, 429, 500, 502, 503, 504})


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https; drops credentials if host, port or scheme change."""

    @override
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme not in {"http", "https"}:
            raise ModelFailure(
                "ModelDownloadFailed",
                f"{redact(req.full_url)} redirects to {redact(newurl)}: only http:// and https:// are followed",
            )
        follow = super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]
        if follow is not None and not _same_place(urlsplit(req.full_url), urlsplit(newurl)):
            follow.remove_header("Authorization")
        return follow


def _same_place(one: SplitResult, other: SplitResult) -> bool:
    return (one.scheme, one.hostname, one.port) == (other.scheme, other.hostname, other.port)


@contextmanager
def open_web(url: str, env: Mapping[str, str], timeout: float) -> Iterator[Opened]:
    """The answer to GET `url`. Raises ModelFailure for 401, 403, 404, 410 and other final answers, else Transient."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=place, fragment="")))  # noqa: S310 - http(s) only
    request.add_header("User-Agent", "crackseg-serving")
    request.add_header("Accept-Encoding", "identity")
    if authorization := _authorization(parts, env):
        request.add_header("Authorization", authorization)
    shown = redact(url)
    try:
        with urllib.request.build_opener(_Redirects()).open(request, timeout=timeout) as answer:
            announced = answer.headers.get("Content-Length", "")
            yield Opened(int(announced) if announced.isdigit() else None, iter(lambda: answer.read(CHUNK_BYTES), b""))
    except urllib.error.HTTPError as error:
        error.close()
        raise _refusal(error.code, shown) from None
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        reason = getattr(error, "reason", None) or error
        raise Transient(f"{shown} could not be read: {reason or type(error).__name__}") from None


def _authorization(parts: SplitResult, env: Mapping[str, str]) -> str:
    if token := env.get("HTTP_BEARER_TOKEN", "").strip():
        return f"Bearer {token}"
    user, password = env.get("HTTP_USERNAME", ""), env.get("HTTP_PASSWORD", "")
    if not user and parts.username:
        user, password = unquote(parts.username), unquote(parts.password or "")
    if not user:
        return ""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def _refusal(status: int, shown: str) -> ModelFailure | Transient:
    if status in {401, 403, 407}:
        return ModelFailure(
            "ModelAccessDenied",
            f"{shown} answered {status}: give a Secret with HTTP_BEARER_TOKEN, or HTTP_USERNAME and HTTP_PASSWORD, "
            "in spec.model.credentialsSecretName, and check that it may read this file",
        )
    if status in {404, 410}:
        return ModelFailure("ModelNotFound", f"{shown} answered {status}: check the URI")
    if status in _WORTH_A_RETRY:
        return Transient(f"{shown} answered {status}")
    return ModelFailure("ModelDownloadFailed", f"{shown} answered {status}, which is no file")

"""`GET /`: the page for people, compressed, cacheable until it changes, with a strict Content-Security-Policy."""

from __future__ import annotations

from crackseg_serving.engine import Engine
from crackseg_serving.http.compression import accepts_gzip
from crackseg_serving.http.messages import Request, Response


async def page_document(_engine: Engine, request: Request) -> Response:
    """The page, or 304 if the client has it. It is served while the model is still loading, too."""
    from crackseg_serving.page import page  # built at the first request, so that the start need not wait for it

    document = page()
    small = accepts_gzip(request.headers.get("accept-encoding", ""))
    tag = f'"{document.digest}{"-gzip" if small else ""}"'
    headers = {
        "ETag": tag,
        "Cache-Control": "no-cache",  # the browser keeps it but revalidates: the next version may have another page
        "Vary": "Accept-Encoding",
        "Content-Security-Policy": document.policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        **({"Content-Encoding": "gzip"} if small else {}),
    }
    if _has(request.headers.get("if-none-match", ""), tag):
        return Response(b"", status=304, headers=headers)
    return Response(document.compressed if small else document.body, "text/html; charset=utf-8", headers=headers)


def _has(given: str, tag: str) -> bool:
    """Whether an If-None-Match header names `tag`; a proxy may have made it a weak one."""
    return given.strip() == "*" or tag in {part.strip().removeprefix("W/") for part in given.split(",")}

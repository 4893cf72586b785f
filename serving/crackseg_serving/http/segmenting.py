"""`POST /v1/segment`: one image or several in; masks, overlays, measurements and their other forms out.

Called by the application through `routes`. Reads the request and its body, and hands each image to `segmentation`.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from crackseg_serving.admission import Ticket
from crackseg_serving.answers import Output
from crackseg_serving.engine import Engine
from crackseg_serving.failures import Cause, Refused
from crackseg_serving.http.body import receive_body
from crackseg_serving.http.forms import Sent, image_limit, images_of
from crackseg_serving.http.many import as_lines, as_list, each
from crackseg_serving.http.messages import Request, Response
from crackseg_serving.http.problems import Problem
from crackseg_serving.http.scales import read_scale
from crackseg_serving.http.work import attended, perform, timeout_of
from crackseg_serving.imaging import Placement, read_world_file
from crackseg_serving.segmentation import segment

_TYPES: Final = {
    Output.MASK: "image/png",
    Output.OVERLAY: "image/png",
    Output.OVERLAY_JPEG: "image/jpeg",
    Output.RLE: "application/json",
    Output.MEASUREMENTS: "application/json",
    Output.GEOJSON: "application/geo+json",
    Output.TABLE: "text/csv; charset=utf-8",
}
_LINES: Final = "application/x-ndjson"
_IN_THE_LOOP: Final = 4 << 20  # bytes: a millisecond or two for a form
#: The output that a type in Accept stands for, if there is no `?output=`.
_ACCEPTED: Final = {
    "image/png": Output.MASK,
    "image/*": Output.MASK,
    "image/jpeg": Output.OVERLAY_JPEG,
    "application/geo+json": Output.GEOJSON,
    "text/csv": Output.TABLE,
    "application/json": Output.MEASUREMENTS,
    _LINES: Output.MEASUREMENTS,
    "application/*": Output.MEASUREMENTS,
    "*/*": Output.MEASUREMENTS,
    "": Output.MEASUREMENTS,
}


async def segment_image(engine: Engine, request: Request) -> Response:
    """Answer one image, or several. Raises Refused or Problem."""
    output, scale = _output(request), read_scale(request.query)
    engine.model  # noqa: B018 - refuse before reading the body if there is no model yet
    content_type = request.headers.get("content-type", "")
    limit = image_limit(content_type, engine.settings.max_bytes)
    with ExitStack() as held:
        ticket = held.enter_context(engine.admission.request(timeout_of(request)))
        grow = held.enter_context(engine.admission.body())
        body = bytes(await receive_body(engine, request, ticket, grow, limit))
        sent = await _read(body, content_type, engine.settings.max_bytes, grow)
        if sent.url is not None:
            fetched = await _fetch(engine, request, sent.url, ticket, grow)
            sent = replace(sent, images=(("", fetched),))
        lines = sent.archive or _wants_lines(request)
        placement = _placement(request, sent.world_file)

        def work(data: bytes, of: Ticket) -> bytes:
            return segment(engine, data, output, scale, of, placement)

        if not sent.many and not lines:
            ((_, data),) = sent.images
            return Response(await perform(engine, request, ticket, lambda: work(data, ticket)), _TYPES[output])
        if not output.in_json:
            raise Refused(
                Cause.BAD_REQUEST,
                f"several images are answered in JSON, which has no {output.value}: ask for output=json, geojson or rle, or send one image",
            )
        entries = each(engine, request, ticket, sent.images, work)
        if not lines:
            return Response(await as_list(entries))
        stream = as_lines(entries, held.pop_all())
        await anext(stream)  # from here on the stream's end releases what is held, whoever ends it
        return Response(b"", _LINES, stream=stream)


async def _read(body: bytes, content_type: str, limit: int, grow: Callable[[int], None]) -> Sent:
    """The images in a body; a large body or an archive is taken apart in a thread, off the event loop."""
    if len(body) <= _IN_THE_LOOP and "zip" not in content_type:
        return images_of(body, content_type, limit, grow)
    return await asyncio.to_thread(images_of, body, content_type, limit, grow)


async def _fetch(engine: Engine, request: Request, url: str, ticket: Ticket, grow: Callable[[int], None]) -> bytes:
    """The image that lies at `url`. Raises Refused or Problem (403, 502, 504)."""
    if not engine.settings.image_url_hosts:
        raise Problem(
            403,
            "URL not allowed",
            "this server does not fetch images: send the file itself, or allow the URL's host in "
            "spec.serving.imageURL.allowedHosts of the CrackSegModel (IMAGE_URL_HOSTS)",
        )
    # The library is imported with the first URL, and off the event loop: most servers never fetch anything.
    await asyncio.to_thread(importlib.import_module, "crackseg_serving.http.fetching")
    from crackseg_serving.http.fetching import fetch

    with engine.metrics.stage("fetch"), engine.admission.elsewhere(ticket):
        return await attended(request, fetch(engine.settings, url, ticket, grow))


def _wants_lines(request: Request) -> bool:
    return _LINES in request.headers.get("accept", "").lower()


def _placement(request: Request, file: str | None) -> Placement | None:
    """Where the image lies, according to `?worldFile=` or the form's part `worldfile`."""
    text = request.query.get("worldFile", file)
    try:
        return None if text is None else read_world_file(text)
    except ValueError as error:
        raise Refused(Cause.BAD_REQUEST, str(error)) from None


def _output(request: Request) -> Output:
    """`?output=` decides; without it the first known type in `Accept`; without `Accept`, JSON."""
    wanted = request.query.get("output")
    if wanted is not None:
        if wanted not in set(Output):
            raise Refused(Cause.BAD_REQUEST, f"output is {wanted!r}, but must be one of {', '.join(Output)}")
        return Output(wanted)
    accept = request.headers.get("accept", "*/*")
    for kind in (part.partition(";")[0].strip().lower() for part in accept.split(",")):
        if kind in _ACCEPTED:
            return _ACCEPTED[kind]
    raise Problem(
        406,
        "Not acceptable",
        f"none of the types in Accept ({accept:.100}) can be given: accept "
        f"{', '.join(kind for kind in _ACCEPTED if kind and '*' not in kind)}, or ask for ?output={'|'.join(Output)}",
    )

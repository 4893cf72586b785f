"""`POST /v1/segment`: a photograph in, a mask, an overlay or measurements out."""

from __future__ import annotations

import math
from typing import Final

from crackseg_serving.engine import Engine
from crackseg_serving.failures import Cause, Refused
from crackseg_serving.http.body import image_limit, image_of, receive_body
from crackseg_serving.http.messages import Request, Response
from crackseg_serving.http.problems import Problem
from crackseg_serving.http.work import perform, timeout_of
from crackseg_serving.segmentation import Output, segment

_TYPES: Final = {Output.MASK: "image/png", Output.OVERLAY: "image/png", Output.MEASUREMENTS: "application/json"}


async def segment_image(engine: Engine, request: Request) -> Response:
    """Answer one photograph. Raises Refused or Problem."""
    output, scale = _output(request), _scale(request)
    engine.model  # noqa: B018 - refuse before the body where there is no model yet
    content_type = request.headers.get("content-type", "")
    limit = image_limit(content_type, engine.settings.max_bytes)
    with engine.admission.request(timeout_of(request)) as ticket, engine.admission.body() as grow:
        data = image_of(await receive_body(engine, request, ticket, grow, limit), content_type)
        body = await perform(engine, request, ticket, lambda: segment(engine, data, output, scale, ticket))
    return Response(body, _TYPES[output])


def _output(request: Request) -> Output:
    """`?output=` decides; without it the first type of `Accept` that we have; without that, JSON."""
    wanted = request.query.get("output")
    if wanted is not None:
        if wanted not in set(Output):
            raise Refused(Cause.BAD_REQUEST, f"output is {wanted!r}, but must be one of {', '.join(Output)}")
        return Output(wanted)
    accept = request.headers.get("accept", "*/*")
    for kind in (part.partition(";")[0].strip().lower() for part in accept.split(",")):
        if kind in {"image/png", "image/*"}:
            return Output.MASK
        if kind in {"application/json", "application/*", "*/*", ""}:
            return Output.MEASUREMENTS
    raise Problem(
        406,
        "Not acceptable",
        f"there is no {accept}: accept application/json or image/png, or give ?output=mask|overlay|json",
    )


def _scale(request: Request) -> float | None:
    """Millimetres for a pixel, where the sender knows them."""
    text = request.query.get("millimetresPerPixel")
    if text is None:
        return None
    try:
        scale = float(text)
    except ValueError:
        scale = math.nan
    if not (math.isfinite(scale) and scale > 0):
        raise Refused(Cause.BAD_REQUEST, f"millimetresPerPixel is {text!r}, but must be a number above 0")
    return scale

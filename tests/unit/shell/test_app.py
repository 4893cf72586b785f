"""The operator's end: nothing of it or of kopf's is left for kopf to wait for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crackseg_operator.app import App
from crackseg_operator.settings import load


async def _half_read() -> AsyncIterator[str]:
    """As kopf's watches are built: a task that lives as long as the generator."""
    waiter = asyncio.create_task(asyncio.Event().wait())
    try:
        yield "an event"
    finally:
        waiter.cancel()
        await asyncio.wait([waiter])


def test_a_watch_that_was_cancelled_between_two_events_is_closed_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    named = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "clusters": [{"name": "here", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "me", "user": {}}],
    }
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(named))
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))

    async def left_over() -> set[asyncio.Task[object]]:
        watch = _half_read()
        await anext(watch)
        await App(load({})).stop()
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(left_over()) == set()

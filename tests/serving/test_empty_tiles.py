"""Empty tiles are skipped where the settings say so, counted, and cost no crack."""

from __future__ import annotations

import numpy as np
import pytest
from tests.serving.conftest import Serve
from tests.serving.pictures import cracked, encoded, mask_of, overlap

pytestmark = pytest.mark.serving

SKIPPED, COMPUTED = 'crackseg_tiles_total{outcome="skipped"}', 'crackseg_tiles_total{outcome="computed"}'


@pytest.mark.parametrize("setting", ["Disabled", "Enabled"])
def test_empty_tiles_are_computed_only_where_the_settings_say_so(serve: Serve, setting: str):
    server = serve(TILE_SIZE="128", TILE_OVERLAP="32", SKIP_EMPTY_TILES=setting).wait_ready()
    picture, truth = cracked(900, 1000)
    answer = server.segment(encoded(picture), "?output=mask")
    assert answer.status == 200
    found = mask_of(answer.body)
    assert overlap(found, truth) > 0.98, "what is skipped holds no crack"
    skipped, computed = server.metric(SKIPPED), server.metric(COMPUTED)
    assert computed > 0
    assert (skipped > 0.5 * (computed + skipped)) == (setting == "Enabled")


def test_a_picture_without_a_line_runs_no_model(serve: Serve):
    server = serve(TILE_SIZE="128", SKIP_EMPTY_TILES="Enabled").wait_ready()
    answer = server.segment(encoded(np.full((600, 700, 3), 170, np.uint8)), "?output=json")
    assert answer.json["measurements"]["crackCount"] == 0
    assert server.metric(COMPUTED) == 0

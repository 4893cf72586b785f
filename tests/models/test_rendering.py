"""The renderer's truth: what it says about a crack is what it drew."""

import json

import cv2
import numpy as np
import pytest

from crackseg_models.__main__ import main
from crackseg_models.rendering.clutter import cable, manhole
from crackseg_models.rendering.cracks import FINEST, PATTERNS, Branch, Style, coverage, figures, smoothed
from crackseg_models.rendering.scene import NARROW, WIDE, Rendered, render, style
from crackseg_serving.imaging.measure import measure

SIZE = (256, 256)


@pytest.fixture(scope="module")
def cracked() -> list[Rendered]:
    scenes = [render(seed, SIZE) for seed in range(12)]
    found = [scene for scene in scenes if (scene.mask > 0).sum() > 100]
    assert len(found) >= 6
    return found


def straight(width: float, length: int = 200) -> Branch:
    points = np.stack([np.linspace(20, 20 + length, 101), np.full(101, 60.3)], 1)
    return Branch(points, np.full(101, width / 2), np.full(101, width / 2))


@pytest.mark.parametrize("width", [2.0, 3.0, 7.5, 20.0])
def test_a_straight_crack_covers_its_length_times_its_width(width):
    cover = coverage([straight(width)], (120, 240))
    exact = figures([straight(width)], (120, 240))

    assert exact.length == pytest.approx(200)
    assert exact.mean_width == pytest.approx(width)
    assert float(cover.sum()) == pytest.approx(exact.length * width, rel=0.03)
    assert int((cover >= 0.5).sum()) == pytest.approx(exact.length * width, rel=0.15)


def test_what_lies_outside_the_frame_is_not_counted():
    inside = figures([straight(4.0)], (120, 120))

    assert inside.length == pytest.approx(100, abs=3)


def test_no_crack_is_finer_than_the_finest():
    style = Style(width=0.2, grain=2.0, winding=0.5, raggedness=0.4, taper=1.0)
    for seed in range(10):
        for branch in PATTERNS["branching"][1](np.random.default_rng(seed), (200, 200), style):
            assert (branch.left + branch.right).min() >= FINEST - 1e-9


@pytest.mark.parametrize("pattern", [name for name in PATTERNS if name != "none"])
def test_the_mask_of_each_pattern_agrees_with_its_figures(pattern):
    style = Style(width=4.0, grain=3.0, winding=0.3, raggedness=0.2, taper=0.3)
    area = drawn = 0.0
    for seed in range(5):
        branches = PATTERNS[pattern][1](np.random.default_rng(seed), (400, 400), style)
        exact = figures(branches, (400, 400))
        area += exact.length * exact.mean_width
        drawn += float(coverage(branches, (400, 400)).sum())

    # branches meet and overlap, so the mask may be smaller than the sum, never larger
    assert 0.8 * area <= drawn <= 1.03 * area


@pytest.mark.parametrize("pattern", [name for name in PATTERNS if name != "none"])
@pytest.mark.parametrize("width", [3.0, 6.0, 12.0])
def test_a_measurement_of_the_exact_mask_finds_the_length_and_width_of_the_truth(pattern, width):
    ragged = Style(width, grain=8.0, winding=0.6, raggedness=0.4, taper=0.5)
    lengths, widths = [], []
    for seed in range(6):
        branches = PATTERNS[pattern][1](np.random.default_rng(seed), (512, 512), ragged)
        exact = figures(branches, (512, 512))
        cover = coverage(branches, (512, 512))
        if exact.length < 100:
            continue
        found = measure((cover >= 0.5).astype(np.uint8))
        lengths.append(found.total_length_pixels / exact.length)
        widths.append(found.total_area_pixels / found.total_length_pixels / exact.mean_width)

    shared = 0.15 if pattern == "map" else 0.1  # wide cracks around small cells run into each other
    assert np.median(lengths) == pytest.approx(1, abs=shared)
    assert np.median(widths) == pytest.approx(1, abs=shared)


def test_cracks_are_of_every_width_from_narrow_to_wide():
    widths = np.array([style(np.random.default_rng(seed), 6.0, (512, 512)).width for seed in range(300)])

    assert NARROW <= widths.min() < 1.1 * NARROW
    assert 0.9 * WIDE < widths.max() <= WIDE
    assert np.median(widths) == pytest.approx((NARROW * WIDE) ** 0.5, rel=0.15)  # as many of each octave


def test_smoothing_a_line_keeps_its_ends_and_what_is_straight_and_takes_away_the_stairs():
    straight_line = np.stack([np.arange(40.0), 0.5 * np.arange(40.0)], 1)
    stairs = straight_line + np.array([0, 1]) * (np.arange(40) % 2)[:, None]

    assert smoothed(straight_line, 3.0) == pytest.approx(straight_line)
    assert smoothed(stairs, 3.0)[[0, -1]] == pytest.approx(stairs[[0, -1]])
    assert np.abs(np.diff(smoothed(stairs, 3.0)[:, 1], 2)).max() < 0.1


@pytest.mark.parametrize("thing", [cable, manhole])
def test_what_lies_on_the_ground_changes_a_part_of_the_picture_and_stays_in_range(thing):
    ground = np.full((160, 160, 3), 0.4, np.float32)
    changed = [thing(np.random.default_rng(seed), ground) for seed in range(8)]

    assert all(after.shape == ground.shape and 0 <= after.min() <= after.max() <= 1.5 for after in changed)
    assert sum(bool(0.002 < (after != ground).mean() < 1) for after in changed) >= 6


def test_a_picture_agrees_with_its_truth(cracked):
    for scene in cracked:
        pixels = int((scene.mask > 0).sum())
        assert pixels == pytest.approx(scene.area, rel=0.1, abs=60), scene.seed
        if scene.figures.mean_width < 15:  # the edges of wider ones leave the frame
            expected = scene.figures.length * scene.figures.mean_width
            assert 0.6 * expected - 40 <= scene.area <= 1.05 * expected + 40, scene.seed
        widest = 2 * float(cv2.distanceTransform(scene.mask, cv2.DIST_L2, 5).max())
        # a crossing is wider than the branches that meet there
        assert widest <= 3.5 * scene.figures.maximum_width + 3, scene.seed


def test_a_crack_is_darker_than_the_ground_beside_it(cracked):
    for scene in cracked:
        crack = scene.mask > 0
        near = (cv2.dilate(scene.mask, np.ones((25, 25))) > 0) & (cv2.dilate(scene.mask, np.ones((5, 5))) == 0)
        assert scene.picture[crack].mean() < scene.picture[near].mean(), scene.seed


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_picture():
    one, again, other = render(7, (128, 160)), render(7, (128, 160)), render(8, (128, 160))

    assert one.picture.shape == (128, 160, 3)
    assert one.mask.shape == (128, 160)
    assert np.array_equal(one.picture, again.picture)
    assert np.array_equal(one.mask, again.mask)
    assert one.truth() == again.truth()
    assert not np.array_equal(one.picture, other.picture)


def test_the_render_command_writes_pictures_masks_and_truth_and_does_no_work_twice(tmp_path, capsys):
    arguments = ["render", "--count", "2", "--seed", "11", "--width", "96", "--height", "80", "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert [line.rsplit("/", 1)[1] for line in capsys.readouterr().out.split()] == ["11.jpg", "12.jpg"]

    truth = json.loads((tmp_path / "truth" / "12.json").read_text())
    mask = cv2.imread(str(tmp_path / "masks" / "12.png"), cv2.IMREAD_UNCHANGED)
    assert (truth["width"], truth["height"], truth["seed"]) == (96, 80, 12)
    assert mask.shape == (80, 96)
    assert set(np.unique(mask)) <= {0, 255}

    (tmp_path / "images" / "11.jpg").write_bytes(b"kept")
    assert main(arguments) == 0
    assert (tmp_path / "images" / "11.jpg").read_bytes() == b"kept"

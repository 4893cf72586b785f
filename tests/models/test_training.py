"""A training of seconds: weights, then a model file that onnxruntime answers with. Needs torch."""

import subprocess
import sys

import numpy as np
import pytest

from crackseg_models.__main__ import main
from crackseg_models.augment import LARGEST, SMALLEST, crop, dress, mix, recolour
from crackseg_models.rendering.scene import render


@pytest.fixture(scope="module")
def example():
    scene = next(scene for scene in (render(seed, (160, 160)) for seed in range(20)) if (scene.mask > 0).sum() > 500)
    return scene.picture, scene.mask


def test_crops_keep_picture_and_mask_together(example):
    """A mask drawn into the picture itself stays on the mask through every turn, scale and flip."""
    _, mask = example
    drawn = np.repeat(mask[..., None], 3, 2)
    rng = np.random.default_rng(0)
    for _ in range(30):
        picture, cut = crop(rng, (drawn, mask), 96)
        assert picture.shape == (96, 96, 3)
        assert set(np.unique(cut)) <= {0, 255}
        assert ((picture[..., 0] > 127) != (cut > 0)).mean() < 0.08
    assert SMALLEST < 0.5
    assert LARGEST > 2


def test_mixing_takes_each_pixel_with_its_own_truth(example):
    rng = np.random.default_rng(0)
    one, other = crop(rng, example, 64), crop(rng, example, 64)
    picture, mask = mix(rng, one, other)
    first = (picture == one[0]).all(2) & (mask == one[1])
    second = (picture == other[0]).all(2) & (mask == other[1])

    assert (first | second).all()


def test_sound_ground_gets_cracks_that_are_in_the_mask_and_other_things_that_are_not():
    rng = np.random.default_rng(0)
    sound = np.full((96, 96, 3), 140, np.uint8), np.zeros((96, 96), np.uint8)
    dressed = [dress(rng, sound) for _ in range(40)]
    cracked = [(picture, mask) for picture, mask in dressed if mask.any()]
    only_things = [picture for picture, mask in dressed if not mask.any() and (picture < 120).any()]

    assert len(cracked) >= 8
    assert len(only_things) >= 3
    assert all(picture[mask > 0].mean() < 125 for picture, mask in cracked)


def test_a_crack_that_is_there_stays_in_the_mask(example):
    rng = np.random.default_rng(0)
    for _ in range(20):
        picture, mask = dress(rng, example)
        assert picture.shape == example[0].shape
        assert (mask[example[1] > 0] > 0).all()


def test_new_light_changes_the_picture_but_not_its_size(example):
    rng = np.random.default_rng(0)
    changed = [recolour(rng, example[0]) for _ in range(10)]

    assert all(picture.shape == example[0].shape and picture.dtype == np.uint8 for picture in changed)
    assert sum(bool((picture != example[0]).any()) for picture in changed) >= 8


def test_unequal_numbers_of_folders_are_refused(tmp_path, capsys):
    pytest.importorskip("torch", reason="torch is not installed (pip install -e '.[models]')")
    arguments = ["train", "--images", str(tmp_path), "--out", str(tmp_path / "weights.pt"), "--rendered", "0"]

    assert main(arguments) == 2
    assert "one --masks folder for every --images" in capsys.readouterr().err


def test_rendering_reporting_and_spoiling_need_no_torch(tmp_path):
    program = """
import sys
sys.modules["torch"] = None
from crackseg_models import bad, files, metadata, metrics, photographs, prediction, report
from crackseg_models.__main__ import main
main(["render", "--count", "1", "--width", "64", "--height", "64", "--out", sys.argv[1]])
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=120)


def test_a_short_training_gives_weights_and_a_model_file_that_answers(tmp_path, capsys):
    pytest.importorskip("torch", reason="torch is not installed (pip install -e '.[models]')")
    pytest.importorskip("onnx", reason="onnx is not installed (pip install -e '.[models]')")
    weights, out = tmp_path / "weights.pt", tmp_path / "model.onnx"
    folder = tmp_path / "road"
    assert (
        main(["render", "--count", "4", "--seed", "50", "--width", "96", "--height", "96", "--out", str(folder)]) == 0
    )
    small = ["--rendered", "4", "--minutes", "0.05", "--batch", "2", "--side", "64", "--threads", "1"]
    folders = ["--images", str(folder / "images"), "--masks", str(folder / "masks")]
    assert main(["train", *folders, *small, "--out", str(weights)]) == 0
    assert "IoU" in capsys.readouterr().out

    told = ["--version", "0.0.1", "--training-data", "a test's photographs"]
    assert main(["export", "--weights", str(weights), *told, "--rendered", "1", "--out", str(out)]) == 0
    assert main(["report", str(out), "--rendered", "1"]) == 0
    assert "rendered" in capsys.readouterr().out

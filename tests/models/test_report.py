"""The report: figures that can be worked out by hand, and photographs that the training can never have seen."""

import hashlib
import json

import cv2
import numpy as np
import pytest

from crackseg_models import metadata
from crackseg_models.__main__ import main
from crackseg_models.metrics import count, score
from crackseg_models.photographs import collections, pairs


def masks(answer: list[int], truth: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([answer], bool), np.array([truth], bool)


def test_iou_and_f1_are_what_a_pencil_says():
    figures = score([count(*masks([1, 1, 1, 0, 0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 0, 0, 0, 0, 0, 0]))])

    assert figures.iou == pytest.approx(2 / 4)
    assert figures.f1 == pytest.approx(4 / 6)
    assert figures.near_f1 == pytest.approx(1.0)


def test_the_tolerance_ends_after_two_pixels():
    figures = score([count(*masks([1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0]))])

    assert figures.near_f1 == 0


def test_an_empty_answer_to_an_empty_truth_is_right():
    figures = score([count(*masks([0, 0], [0, 0]))])

    assert (figures.iou, figures.f1, figures.near_f1) == (1, 1, 1)


def test_pixels_are_summed_over_pictures_and_means_are_over_pictures():
    right = count(*masks([1] * 9, [1] * 9))
    wrong = count(*masks([1] + [0] * 8, [0] * 8 + [1]))
    figures = score([right, wrong])

    assert figures.pictures == 2
    assert figures.iou == pytest.approx(9 / 11)
    assert figures.mean_iou == pytest.approx(0.5)


def photographs(folder, count_=12):
    rng = np.random.default_rng(3)
    for sub in ("images", "masks"):
        (folder / "road" / sub).mkdir(parents=True)
    for index in range(count_):
        cv2.imwrite(str(folder / "road" / "images" / f"{index}.png"), rng.integers(0, 255, (48, 40, 3), np.uint8))
        cv2.imwrite(str(folder / "road" / "masks" / f"{index}.png"), rng.integers(0, 2, (48, 40), np.uint8) * 255)


def test_which_photographs_are_held_back_follows_from_their_bytes(tmp_path):
    photographs(tmp_path, 60)
    found = collections(tmp_path)["road"]
    held_back = [pair for pair in found if pair.held_back]

    assert 3 <= len(held_back) <= 25
    assert all(hashlib.sha256(pair.image.read_bytes()).digest()[0] % 5 == 0 for pair in held_back)
    for pair in held_back:
        pair.image.rename(pair.image.with_name(f"renamed-{pair.image.name}"))
        pair.mask.rename(pair.mask.with_name(f"renamed-{pair.mask.name}"))
    assert sum(pair.held_back for pair in collections(tmp_path)["road"]) == len(held_back)


def test_a_file_that_is_no_picture_is_named(tmp_path):
    photographs(tmp_path, 1)
    (tmp_path / "road" / "images" / "0.png").write_bytes(b"no picture")

    with pytest.raises(ValueError, match=r"images/0\.png is not a picture"):
        pairs(tmp_path / "road" / "images", tmp_path / "road" / "masks")[0].read()


def test_a_mask_of_another_size_is_named(tmp_path):
    photographs(tmp_path, 1)
    cv2.imwrite(str(tmp_path / "road" / "masks" / "0.png"), np.zeros((8, 8), np.uint8))

    with pytest.raises(ValueError, match=r"0\.png is \(48, 40\) pixels"):
        pairs(tmp_path / "road" / "images", tmp_path / "road" / "masks")[0].read()


def test_a_folder_without_photographs_is_refused_with_a_sentence(tmp_path, sample, capsys):
    assert main(["report", str(sample), "--photographs", str(tmp_path), "--rendered", "1"]) == 2
    assert "has no sub-folder with images/ and masks/" in capsys.readouterr().err


def test_the_report_reads_every_set_at_every_scale(tmp_path, sample, capsys):
    photographs(tmp_path, 3)
    arguments = ["report", str(sample), "--photographs", str(tmp_path), "--everything", "--rendered", "2"]
    assert main([*arguments, "--scales", "0.5", "1", "--json"]) == 0

    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["set"], row["scale"], row["pictures"]) for row in rows] == [
        ("road", 0.5, 3), ("road", 1.0, 3), ("rendered", 0.5, 2), ("rendered", 1.0, 2),
    ]  # fmt: skip
    assert all(0 <= row["iou"] <= row["f1"] <= 1 for row in rows)


def test_without_photographs_the_report_says_so_and_reads_rendered_pictures(sample, capsys, monkeypatch):
    monkeypatch.delenv("CRACKSEG_PHOTOGRAPHS", raising=False)
    assert main(["report", str(sample), "--rendered", "1"]) == 0

    shown = capsys.readouterr()
    assert "CRACKSEG_PHOTOGRAPHS" in shown.err
    assert [line.split()[1] for line in shown.out.splitlines()] == ["set", "rendered"]


def test_a_file_that_is_no_model_is_refused_with_a_sentence(tmp_path, capsys):
    path = tmp_path / "model.onnx"
    path.write_text("not a model")

    assert main(["report", str(path), "--rendered", "1"]) == 2
    assert f"{path} is not a model that onnxruntime can load" in capsys.readouterr().err


def test_metadata_survive_a_round_trip():
    told = metadata.Metadata(
        "pavement", "9.9.9", "nothing", {"rendered": {"iou": 0.5}}, (0.1, 0.2, 0.3), (1, 2, 3), 32, 40
    )

    assert metadata.parse(told.properties()) == told


def test_a_model_of_someone_else_is_refused_by_the_key_that_is_missing():
    with pytest.raises(ValueError, match=r"no crackseg\.name"):
        metadata.parse({"author": "someone"})

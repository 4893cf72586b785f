"""The committed sample models: their contract, and that they find cracks in pictures that no training saw."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from crackseg_models.agreement import Picture, Served, compare
from crackseg_models.prediction import Model
from crackseg_models.report import judge, kept_apart, rendered, scaled

SAMPLES = Path(__file__).parents[2] / "deploy" / "samples"
VERSIONS = ("1.0.0", "2.0.0")
# the figures of a plain U-Net after twenty minutes on the same photographs: what a sample must beat
MARKS = {"close-up": (0.54, 0.70), "survey": (0.46, 0.63)}
PICTURES = sorted(SAMPLES.glob("photographs/*.jpg"))


def path(version: str) -> Path:
    return SAMPLES / f"pavement-{version}.onnx"


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {version: Model(path(version)) for version in VERSIONS}


@pytest.fixture(scope="module")
def fresh():
    return rendered(8)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_file_is_small_and_says_what_it_is(version, models):
    assert path(version).stat().st_size <= 3_000_000
    told = models[version].metadata
    assert (told.name, told.version, told.threshold_percent) == ("pavement", version, 50)
    assert "photographs" in told.training_data
    assert {"close-up", "survey", "rendered"} <= set(told.metrics)
    assert all(0 < figures["iou"] < figures["f1"] < 1 for figures in told.metrics.values())


@pytest.mark.parametrize("version", [*VERSIONS, "2.0.0-int8"])
def test_the_file_tells_nothing_of_the_machine_that_made_it(version):
    data = path(version).read_bytes()

    assert not any(word in data for word in (b"/work/", b"/tmp/", b"/root/", b"/home/", b"site-packages"))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_graph_takes_any_batch_and_any_size_and_answers_probabilities(version, models):
    session = models[version].session
    rng = np.random.default_rng(0)
    for batch, height, width in ((1, 64, 64), (3, 96, 160), (2, 256, 48)):
        (answer,) = session.run(None, {"image": rng.normal(0, 1, (batch, 3, height, width)).astype(np.float32)})
        assert answer.shape == (batch, 1, height, width)
        assert answer.dtype == np.float32
        assert 0 <= answer.min() <= answer.max() <= 1
    assert onnx.load(path(version)).opset_import[0].version == 17


@pytest.mark.parametrize("version", VERSIONS)
def test_a_picture_is_answered_the_same_alone_and_in_a_batch(version, models):
    pictures = np.random.default_rng(1).normal(0, 1, (4, 3, 96, 96)).astype(np.float32)
    session = models[version].session
    (together,) = session.run(None, {"image": pictures})
    alone = np.concatenate([session.run(None, {"image": picture[None]})[0] for picture in pictures])

    np.testing.assert_allclose(together, alone, atol=1e-4)


@pytest.mark.parametrize("version", VERSIONS)
def test_grey_nothing_has_no_crack(version, models):
    assert not models[version].mask(np.full((96, 128, 3), 128, np.uint8)).any()


@pytest.mark.parametrize("version", VERSIONS)
def test_each_version_finds_cracks_in_freshly_rendered_pictures(version, models, fresh):
    figures = judge(models[version], fresh)

    assert figures.f1 > 0.4
    assert figures.near_f1 > 0.5


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.stem)
def test_each_sample_photograph_has_its_truth_and_the_second_version_finds_it(picture, models):
    truth = json.loads(picture.with_suffix(".json").read_text())
    mask = cv2.imread(str(picture.with_suffix(".mask.png")), cv2.IMREAD_GRAYSCALE) > 127
    image = np.ascontiguousarray(cv2.imread(str(picture))[..., ::-1])

    assert picture.stat().st_size < 200_000
    assert image.shape[:2] == mask.shape == (truth["height"], truth["width"])
    assert mask.sum() == pytest.approx(truth["area"], rel=0.15)
    # joints are the hard ones: both versions take a sawn joint for a crack (see the model card)
    wanted = 0.6 if picture.stem in ("branching", "map") else 0.35
    assert judge(models["2.0.0"], [(image, mask.astype(np.uint8))]).near_f1 > wanted


def test_there_is_a_sample_photograph():
    assert len(PICTURES) >= 3


def test_the_int8_file_is_the_second_versions_and_says_so(models):
    properties = Model(path("2.0.0-int8")).session.get_modelmeta().custom_metadata_map

    assert path("2.0.0-int8").stat().st_size < path("2.0.0").stat().st_size / 3
    assert properties["crackseg.version"] == "2.0.0-int8"
    assert properties["crackseg.precision"] == "INT8"
    assert properties["crackseg.source.digest"] == f"sha256:{hashlib.sha256(path('2.0.0').read_bytes()).hexdigest()}"
    figures = json.loads(properties["crackseg.agreement"])
    assert {"close-up", "survey"} <= set(figures)
    assert all(each["agreement"] >= 0.98 for each in figures.values())


def test_the_int8_file_marks_in_the_sample_photograph_what_its_source_marks():
    photograph = SAMPLES / "photographs/branching.jpg"
    found = compare(Served(path("2.0.0")), Served(path("2.0.0-int8")), [Picture(photograph)])

    assert found.agreement > 0.97


@pytest.mark.photographs
def test_the_int8_file_agrees_with_its_source_on_survey_photographs(real_photographs):
    images = sorted((real_photographs / "survey" / "images").glob("*"))
    if not images:
        pytest.skip(f"{real_photographs} has no folder survey")
    found = compare(Served(path("2.0.0")), Served(path("2.0.0-int8")), [Picture(image) for image in images])

    assert found.agreement >= 0.98


@pytest.mark.photographs
def test_the_second_version_beats_the_marks_on_photographs_kept_apart(models, real_photographs):
    sets = kept_apart(real_photographs, everything=False)
    judged = {name: judge(models["2.0.0"], sets[name]) for name in MARKS if sets.get(name)}
    if not judged:
        pytest.skip(f"{real_photographs} has neither of the folders {', '.join(MARKS)}")

    for name, figures in judged.items():
        iou, f1 = MARKS[name]
        assert (figures.iou, figures.f1) > (iou, f1), name
        assert figures.f1 > f1, name


@pytest.mark.photographs
def test_the_second_version_is_better_than_the_first_on_photographs_kept_apart(models, real_photographs):
    for name, examples in kept_apart(real_photographs, everything=False).items():
        assert judge(models["2.0.0"], examples).iou > judge(models["1.0.0"], examples).iou, name


@pytest.mark.photographs
@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_the_second_version_still_finds_cracks_at_half_and_twice_the_size(scale, models, real_photographs):
    for name, examples in kept_apart(real_photographs, everything=False).items():
        assert judge(models["2.0.0"], scaled(examples[:20], scale)).near_f1 > 0.5, name

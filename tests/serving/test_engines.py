"""Engines that are kept: built once, by one at a time, thrown away when they are of no use. A file stands in for an engine."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from crackseg_serving.failures import ModelFailure
from crackseg_serving.runtime.engines import with_engines


class Builder:
    """What opens a session: it reads the engine, or builds one that only its own release can read."""

    def __init__(self, release: str = "10.16") -> None:
        self.release = release
        self.built = 0

    def __call__(self, engines: Path, timings: Path) -> str:
        engine = engines / "model.engine"
        if not engine.exists():
            self.built += 1
            engine.write_text(self.release)
            (timings / f"{self.release}-{self.built}.timing").write_text("quick")
        if engine.read_text() != self.release:
            raise ModelFailure("ContractMismatch", "TensorRT EP failed to deserialize engine")
        return self.release


def test_the_second_start_builds_nothing(tmp_path: Path):
    first, second = Builder(), Builder()
    assert with_engines(tmp_path / "cache", "a", first) == "10.16"
    assert with_engines(tmp_path / "cache", "a", second) == "10.16"

    assert (first.built, second.built) == (1, 0)


def test_other_models_have_their_own(tmp_path: Path):
    builder = Builder()
    for key in ("a", "b"):
        with_engines(tmp_path, key, builder)

    assert builder.built == 2


def test_an_engine_of_another_release_is_built_anew_and_kept(tmp_path: Path, caplog):
    with_engines(tmp_path, "a", Builder("10.15"))
    newer, again = Builder("10.16"), Builder("10.16")

    assert with_engines(tmp_path, "a", newer) == "10.16"
    assert with_engines(tmp_path, "a", again) == "10.16"
    assert (newer.built, again.built) == (1, 0)
    assert "built anew" in caplog.text


def test_a_build_that_fails_leaves_nothing_that_the_next_start_would_take_for_an_engine(tmp_path: Path):
    def broken(engines: Path, _timings: Path) -> str:
        (engines / "model.engine").write_text("half")
        raise ModelFailure("OutOfMemory", "no memory on the card")

    with pytest.raises(ModelFailure, match="no memory"):
        with_engines(tmp_path, "a", broken)
    builder = Builder()
    with_engines(tmp_path, "a", builder)

    assert builder.built == 1


def test_pods_that_start_together_build_once(tmp_path: Path):
    builders = [Builder() for _ in range(4)]
    together = threading.Barrier(4)

    def start(builder: Builder) -> str:
        together.wait()
        return with_engines(tmp_path, "a", builder)

    with ThreadPoolExecutor(4) as pods:
        assert list(pods.map(start, builders)) == ["10.16"] * 4

    assert sum(builder.built for builder in builders) == 1


def test_without_a_folder_to_write_to_every_start_builds(tmp_path: Path, caplog):
    (tmp_path / "file").write_text("no folder")
    builder = Builder()
    for _ in range(2):
        assert with_engines(tmp_path / "file" / "cache", "a", builder) == "10.16"

    assert builder.built == 2
    assert "cannot be written" in caplog.text


def test_the_oldest_are_thrown_away_and_what_a_killed_process_left(tmp_path: Path):
    (tmp_path / "building-left").mkdir()
    for number in range(40):
        with_engines(tmp_path, f"model-{number}", Builder())
    kept = {folder.name for folder in tmp_path.iterdir() if folder.name.startswith("model-")}

    assert len(kept) == 16
    assert "model-39" in kept
    assert "model-0" not in kept
    assert not (tmp_path / "building-left").exists()


def test_engines_in_use_are_not_the_oldest(tmp_path: Path):
    builder = Builder()
    for number in range(40):
        with_engines(tmp_path, "in use", builder)
        with_engines(tmp_path, f"model-{number}", Builder())

    assert builder.built == 1

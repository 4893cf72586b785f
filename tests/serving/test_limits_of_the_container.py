"""Processors and memory as the control group says, for both versions of control groups; settings from them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crackseg_serving import cgroup
from crackseg_serving.environment import SettingsError
from crackseg_serving.settings import from_environment

CORES = len(os.sched_getaffinity(0))


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


@pytest.mark.parametrize(
    ("files", "processors"),
    [
        pytest.param({}, CORES, id="no control group"),
        pytest.param({"sys/fs/cgroup/cpu.max": "max 100000"}, CORES, id="no limit"),
        pytest.param({"sys/fs/cgroup/cpu.max": "100000 100000"}, 1, id="one processor"),
        pytest.param({"sys/fs/cgroup/cpu.max": "50000 100000"}, 1, id="half a processor is one thread"),
        pytest.param({"sys/fs/cgroup/cpu.max": "150000 100000"}, min(2, CORES), id="one and a half are two"),
        pytest.param({"sys/fs/cgroup/cpu.max": "9900000 100000"}, CORES, id="never more than there are"),
        pytest.param(
            {
                "proc/self/cgroup": "0::/kubepods/pod1/box",
                "sys/fs/cgroup/kubepods/pod1/box/cpu.max": "max 100000",
                "sys/fs/cgroup/kubepods/pod1/cpu.max": "100000 100000",
            },
            1,
            id="a limit on the group above",
        ),
        pytest.param(
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"},
            1,
            id="version 1",
        ),
        pytest.param(
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"},
            CORES,
            id="version 1 without a limit",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/kubepods/pod1/box\n4:memory:/kubepods/pod1/box",
                "sys/fs/cgroup/cpu/kubepods/pod1/cpu.cfs_quota_us": "50000",
                "sys/fs/cgroup/cpu/kubepods/pod1/cpu.cfs_period_us": "100000",
            },
            1,
            id="version 1 with the host's tree, a fraction on the group above",
        ),
        pytest.param({"sys/fs/cgroup/cpu.max": "50000 0"}, CORES, id="a period of nought"),
        pytest.param({"sys/fs/cgroup/cpu.max": "garbage"}, CORES, id="garbage"),
    ],
)
def test_processors(tmp_path: Path, files: dict[str, str], processors: int):
    assert cgroup.processors(tree(tmp_path, files)) == processors


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        pytest.param({}, None, id="no control group"),
        pytest.param({"sys/fs/cgroup/memory.max": "max"}, None, id="no limit"),
        pytest.param({"sys/fs/cgroup/memory.max": "536870912"}, 512 << 20, id="512 MiB"),
        pytest.param({"sys/fs/cgroup/memory/memory.limit_in_bytes": "536870912"}, 512 << 20, id="version 1"),
        pytest.param(
            {"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712"}, None, id="version 1 without a limit"
        ),
        pytest.param(
            {
                "proc/self/cgroup": "4:memory:/kubepods/pod1/box",
                "sys/fs/cgroup/memory/kubepods/pod1/box/memory.limit_in_bytes": "9223372036854771712",
                "sys/fs/cgroup/memory/kubepods/pod1/memory.limit_in_bytes": "268435456",
            },
            256 << 20,
            id="version 1 with the host's tree, a limit on the group above",
        ),
    ],
)
def test_memory(tmp_path: Path, files: dict[str, str], limit: int | None):
    assert cgroup.memory(tree(tmp_path, files)) == limit


def test_an_empty_environment_is_a_server_that_runs():
    settings = from_environment({})
    assert (settings.port, settings.device, settings.tile_size, settings.threshold_percent) == (8080, "Auto", 512, None)
    assert str(settings.model_path) == "/models/model.onnx"


@pytest.mark.parametrize(("text", "size"), [("Auto", None), ("auto", None), ("", None), ("8", 8), ("1", 1)])
def test_a_batch_size_is_a_number_or_found_at_warm_up(text: str, size: int | None):
    assert from_environment({"BATCH_SIZE": text}).batch_size == size


def test_small_tiles_overlap_by_half_where_nothing_else_is_said():
    assert [from_environment({"TILE_SIZE": size}).tile_overlap for size in ("32", "100", "512")] == [16, 50, 64]


def test_an_empty_value_is_no_value():
    assert from_environment({"APP_PORT": "", "MODEL_SHA256": "", "THRESHOLD_PERCENT": ""}) == from_environment({})


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("INFERENCE_DEVICE", "gpu", "Auto, CPU, CUDA, TensorRT"),
        ("BATCH_SIZE", "0", "between 1 and 256"),
        ("BATCH_SIZE", "1.5", "whole number"),
        ("TILE_OVERLAP", "300", "at most half"),
        ("MEMORY_LIMIT", "12", "between"),
        ("BATCH_SIZE", "auto8", "whole number"),
        ("ACCESS_LOG_SAMPLE", "2", "from 0 to 1"),
        ("ACCESS_LOG_SAMPLE", "nan", "from 0 to 1"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(name: str, value: str, word: str):
    with pytest.raises(SettingsError, match=word) as caught:
        from_environment({name: value})
    assert name in str(caught.value)

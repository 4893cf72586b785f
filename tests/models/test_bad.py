"""Each bad version is bad in the way it says, seen with a real onnxruntime in a process with limits."""

import subprocess
import sys
import textwrap

import numpy as np
import onnx
import onnxruntime
import pytest

from crackseg_models.__main__ import main
from crackseg_models.bad import KINDS, MEMORY


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    out = tmp_path_factory.mktemp("bad")
    good = out / "good.onnx"
    good.write_bytes(KINDS["slow"](b""))  # any model that loads
    assert main(["bad", "--good", str(good), "--out", str(out)]) == 0
    return out


def load(path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def child(program: str, path, *, memory: int, cpu_seconds: int) -> subprocess.CompletedProcess[str]:
    """Run a program on a model in a process that the kernel stops at `memory` bytes or `cpu_seconds`."""
    limits = f"""
        import resource, sys
        resource.setrlimit(resource.RLIMIT_CPU, ({cpu_seconds}, {cpu_seconds}))
        import numpy as np, onnxruntime
        resource.setrlimit(resource.RLIMIT_DATA, ({memory}, {memory}))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        print("loading", flush=True)
        session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
        print("loaded", flush=True)
    """
    source = textwrap.dedent(limits) + textwrap.dedent(program)
    return subprocess.run(
        [sys.executable, "-c", source, str(path)], capture_output=True, text=True, check=False, timeout=240
    )


RUN = """
    session.run(None, {"image": np.zeros((1, 3, 64, 64), np.float32)})
    print("answered", flush=True)
"""


@pytest.mark.parametrize("kind", ["truncated", "not-onnx", "pointer"])
def test_what_is_no_model_cannot_be_loaded(bad, kind):
    with pytest.raises(Exception, match="INVALID_PROTOBUF"):
        load(bad / f"{kind}.onnx")


def test_a_pointer_file_reads_as_git_writes_it(bad):
    lines = (bad / "pointer.onnx").read_text().splitlines()

    assert lines[0] == "version https://git-lfs.github.com/spec/v1"
    assert [line.split()[0] for line in lines[1:]] == ["oid", "size"]


def test_the_wrong_channels_are_five(bad):
    (image,) = load(bad / "wrong-channels.onnx").get_inputs()

    assert (image.name, image.type, image.shape[1]) == ("image", "tensor(float)", 5)


def test_the_wrong_type_is_an_integer(bad):
    (image,) = load(bad / "wrong-type.onnx").get_inputs()

    assert image.type == "tensor(int64)"


@pytest.mark.parametrize("kind", ["slow-load", "memory", "slow", "wrong-channels", "wrong-type"])
def test_the_others_are_well_formed_and_carry_the_metadata_of_version_3(bad, kind):
    model = onnx.load(bad / f"{kind}.onnx")
    onnx.checker.check_model(model)

    assert {p.key: p.value for p in model.metadata_props}["crackseg.version"] == "3.0.0"


def test_loading_takes_for_ever_with_modest_memory(bad):
    done = child("", bad / "slow-load.onnx", memory=700 << 20, cpu_seconds=6)

    assert done.stdout.split() == ["loading"], done.stderr
    assert done.returncode == -9  # stopped by the kernel for its processor time, not for an error


def test_a_run_needs_two_gigabytes_but_loading_does_not(bad):
    done = child(RUN, bad / "memory.onnx", memory=700 << 20, cpu_seconds=60)

    assert done.stdout.split() == ["loading", "loaded"]
    assert "bad allocation" in done.stderr or "Failed to allocate memory" in done.stderr
    assert MEMORY > 1 << 30


def test_the_slow_one_answers_right_after_much_work(bad):
    path = bad / "slow.onnx"
    (answer,) = load(path).run(None, {"image": np.zeros((1, 3, 64, 64), np.float32)})
    loop = next(node for node in onnx.load(path).graph.node if node.op_type == "Loop")

    assert answer.shape == (1, 1, 64, 64)
    assert loop.input[0] == "turns"

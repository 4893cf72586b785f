"""Programs are started in their own session, found again, and stopped by pid, and nobody else's are touched."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from crackseg_local import processes
from crackseg_local.errors import LocalClusterError
from crackseg_local.processes import Process


@pytest.fixture
def state(tmp_path):
    yield tmp_path
    processes.stop_all(processes.find_all(tmp_path), tmp_path, patience_seconds=0.0)


def sleeper(state, name="sleeper"):
    return Process(name, ("sleep", "600"), state)


def test_a_started_program_runs_in_its_own_session_and_is_not_started_twice(state):
    process = sleeper(state)
    pid = process.start()
    assert process.start() == pid
    assert os.getsid(pid) == pid
    assert process.running_pid() == pid


def test_a_kernel_that_answers_with_nothing_is_asked_again(state, monkeypatch):
    pid = sleeper(state).start()
    read, silent = Path.read_bytes, [b"", b""]
    ours = Path(f"/proc/{pid}/environ")
    monkeypatch.setattr(Path, "read_bytes", lambda path: silent.pop() if path == ours and silent else read(path))
    assert processes.find_all(state) == [pid]
    assert not silent


def test_a_program_is_found_without_its_pid_file(state):
    process = sleeper(state)
    pid = process.start()
    process.pid_file.unlink()
    assert processes.find_all(state) == [pid]


def test_stopping_ends_the_program_and_forgets_it(state):
    process = sleeper(state)
    pid = process.start()
    process.stop()
    assert not processes.is_alive(pid)
    assert process.running_pid() is None
    process.stop()


def test_a_program_that_ignores_the_request_is_killed(state):
    process = Process("stubborn", ("sh", "-c", "trap '' TERM; echo ready; exec sleep 600"), state)
    process.start()
    assert processes.wait_until(lambda: b"ready" in process.log.read_bytes(), 90)
    process.stop(patience_seconds=0.2)
    assert processes.find_all(state) == []


def test_a_stale_pid_file_harms_nobody(state):
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        process = sleeper(state)
        process.pid_file.parent.mkdir(parents=True)
        process.pid_file.write_text(str(stranger.pid))
        assert process.running_pid() is None
        process.stop()
        processes.stop_all([stranger.pid], state)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("content", ["", "not a pid", "4194305"], ids=["empty", "nonsense", "a pid that cannot be"])
def test_a_broken_pid_file_means_not_running(state, content):
    process = sleeper(state)
    process.pid_file.parent.mkdir(parents=True)
    process.pid_file.write_text(content)
    assert process.running_pid() is None


def test_a_program_of_another_state_folder_is_not_ours(state, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    process = sleeper(other)
    pid = process.start()
    try:
        assert processes.find_all(state) == []
        processes.stop_all([pid], state)
        assert processes.is_alive(pid)
    finally:
        process.stop()


def test_children_are_found_by_the_inherited_mark(state):
    parent = Process("parent", ("sh", "-c", "sleep 600 & wait"), state)
    pid = parent.start()
    assert processes.wait_until(lambda: len(processes.find_all(state)) == 2, 90)
    os.kill(pid, signal.SIGKILL)
    assert processes.wait_until(lambda: not processes.is_alive_or_reap(pid), 90)
    (orphan,) = processes.find_all(state)
    assert orphan != pid


def test_waiting_for_a_program_that_ends_says_so_with_its_last_words(state):
    process = Process("short", ("sh", "-c", "echo no such flag; exit 2"), state)
    process.start()
    with pytest.raises(LocalClusterError, match=r"short ended before it was ready(.|\n)*no such flag"):
        processes.wait_for([process], lambda: False, "it was ready", 90)


def test_waiting_in_vain_names_what_was_waited_for(state):
    process = sleeper(state)
    process.start()
    with pytest.raises(LocalClusterError, match="in vain: it was ready"):
        processes.wait_for([process], lambda: False, "it was ready", 0.1)

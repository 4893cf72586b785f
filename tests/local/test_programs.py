"""What is built, at which version, under which name; and what a person is told when something is missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from crackseg_local import machine, packages, programs, teardown, toolchain
from crackseg_local.addresses import NODES
from crackseg_local.errors import LocalClusterError
from crackseg_local.network import inside
from crackseg_local.node import check_socket_path
from crackseg_local.paths import State, source_folder


@pytest.mark.parametrize("module", programs.MODULES, ids=lambda module: module.folder)
def test_every_module_pins_a_version_and_its_sums(module):
    folder = source_folder() / "programs" / module.folder
    version = programs.module_version((folder / "go.mod").read_text(), module.upstream)
    if module.upstream:
        assert re.fullmatch(r"v\d+\.\d+\.\d+", version)
        assert module.upstream in (folder / "go.sum").read_text()
    assert programs.module_folder(module).name.startswith(f"{module.folder}-{version}-")


def test_every_module_is_within_reach_of_the_toolchain_that_is_fetched():
    for module in programs.MODULES:
        text = (source_folder() / "programs" / module.folder / "go.mod").read_text()
        major, minor = re.search(r"^go (\d+)\.(\d+)", text, re.MULTILINE).groups()
        assert (int(major), int(minor)) <= toolchain.MINIMUM_GO, module.folder


def test_what_several_modules_compile_has_one_version_so_that_it_is_compiled_once():
    chosen: dict[str, dict[str, str]] = {}
    for folder in programs.COMPILED_TOGETHER:
        text = (source_folder() / "programs" / folder / "go.mod").read_text()
        for path, version in re.findall(r"^\t(\S+) (v\S+)(?: // indirect)?$", text, re.MULTILINE):
            chosen.setdefault(path, {})[folder] = version
    tools_only = {"golang.org/x/mod", "golang.org/x/tools", "golang.org/x/telemetry"}  # nothing of these is compiled
    different = {path: by for path, by in chosen.items() if len(set(by.values())) > 1 and path not in tools_only}
    assert different == {}


def test_what_is_compiled_together_is_built_in_one_go():
    assert set(programs.with_companions(["helm"])) >= {"helm", *programs.CONTROL_PLANE, "kubelet", "coredns"}
    assert programs.with_companions(["kwok"]) == ["kwok"]


def test_kubernetes_programs_say_their_version():
    module = programs.module_of("kubelet")
    assert "gitVersion=v1.34.4" in programs.build_flags(module, "v1.34.4")[-1]


def test_an_unknown_program_is_answered_with_the_known_ones():
    with pytest.raises(LocalClusterError, match=r"No program is called 'kubeadm'\. There are: etcd, .*kubelet"):
        programs.program_path("kubeadm")


def test_a_module_that_does_not_build_names_the_program_and_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("GOPROXY", "off")
    with pytest.raises(LocalClusterError, match=r"etcd could not be built(.|\n)*run the command again"):
        programs.ensure(["etcd"])
    assert not programs.program_path("etcd").exists()


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26)),
        ("go version go1.19.8 linux/amd64", (1, 19)),
        ("something else", (0, 0)),
    ],
)
def test_the_version_of_go_is_read(printed, version):
    assert toolchain.go_version(printed) == version


def test_missing_packages_are_named_once(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(packages, "_SYSTEM_FOLDERS", str(tmp_path))
    assert packages.missing_packages(["ctr", "containerd", "ip"]) == ["containerd", "iproute2"]


def test_a_machine_without_apt_is_told_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(packages, "_SYSTEM_FOLDERS", str(tmp_path))
    with pytest.raises(LocalClusterError, match=r"missing: ctr, ip\..*install by hand.*containerd iproute2"):
        packages.ensure(["ctr", "ip"])


def test_a_state_folder_that_lies_too_deep_for_a_socket_is_refused():
    with pytest.raises(LocalClusterError, match="XDG_STATE_HOME"):
        check_socket_path(State(Path("/deep") / ("x" * 90)), NODES[0])
    check_socket_path(State(Path("/root/.local/state/crackseg/cluster")), NODES[0])


def test_mounts_below_a_folder_come_deepest_first_and_unescaped():
    table = "a /s ext4 rw 0 0\nb /s/a/b tmpfs rw 0 0\nc /s/a tmpfs rw 0 0\nd /s/with\\040blank tmpfs rw 0 0\ne /sx t rw 0 0\n"
    found = teardown.mounts_below(Path("/s"), table)
    assert found[0] == Path("/s/a/b")
    assert found[-1] == Path("/s")
    assert set(found) == {Path("/s"), Path("/s/a"), Path("/s/a/b"), Path("/s/with blank")}


def test_programs_keep_the_machines_mounts_inside_a_node():
    assert inside("crackseg-node-1") == ["nsenter", "--net=/run/netns/crackseg-node-1"]


def test_a_boot_has_a_name():
    assert re.fullmatch(r"[0-9a-f-]{36}", machine.boot())

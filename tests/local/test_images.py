"""Image archives, the key that decides about a build, and the way to the package index."""

from __future__ import annotations

import hashlib
import json
import tarfile

import pytest

from crackseg_local import archive, imagekey, packageindex, systemimages
from crackseg_local.errors import LocalClusterError

DOCKERFILE = """\
FROM python:3.11-slim-bookworm AS build
COPY --chmod=0644 requirements.txt /tmp/
COPY app \\
     lib/ /src/
COPY --from=build /opt/venv /opt/venv
ADD ["extra/a file.txt", "/data/"]
# COPY commented /out
"""


@pytest.fixture
def context(tmp_path):
    for name in ("requirements.txt", "app/a.py", "lib/b.py", "extra/a file.txt", "other.txt", "app/__pycache__/a.pyc"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    return tmp_path


def key(context, also=()):
    return imagekey.key(context, context / "Dockerfile", also)


def test_copied_paths_are_those_of_the_build_context():
    assert imagekey.copied_paths(DOCKERFILE) == ["requirements.txt", "app", "lib/", "extra/a file.txt"]


@pytest.mark.parametrize(
    ("change", "same"),
    [
        pytest.param(lambda _: None, True, id="nothing changed"),
        pytest.param(lambda c: (c / "other.txt").write_text("x"), True, id="a file that is not copied"),
        pytest.param(lambda c: (c / "app/__pycache__/a.pyc").write_text("x"), True, id="compiled Python"),
        pytest.param(lambda c: (c / "app/a.py").write_text("x"), False, id="a copied file's text"),
        pytest.param(lambda c: (c / "app/a.py").rename(c / "app/z.py"), False, id="a copied file's name"),
        pytest.param(lambda c: (c / "app/a.py").chmod(0o755), False, id="a copied file's mode"),
        pytest.param(lambda c: (c / "extra/a file.txt").write_text("x"), False, id="a name with a blank"),
        pytest.param(lambda c: (c / "Dockerfile").write_text(DOCKERFILE + "USER 1"), False, id="the Dockerfile"),
    ],
)
def test_the_key_changes_with_what_goes_into_the_image(context, change, same):
    before = key(context)
    change(context)
    assert (key(context) == before) is same


def test_the_target_is_part_of_the_key(context):
    assert key(context, ["cpu"]) != key(context, ["gpu"])


def test_an_archive_of_one_program_can_be_read_back(tmp_path):
    program = tmp_path / "hello"
    program.write_bytes(b"\x7fELF")
    target = tmp_path / "image.tar"
    systemimages.write_archive(target, program, "crackseg.local/hello:1")
    names = archive.contents(target)
    assert list(names) == ["crackseg.local/hello:1"]
    with tarfile.open(target) as outer:
        config = json.load(outer.extractfile(names["crackseg.local/hello:1"]))
        layer = outer.extractfile("layer.tar").read()
    assert config["config"]["Entrypoint"] == ["/hello"]
    assert config["config"]["User"] == "65532:65532"
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert len(config["history"]) == 1, "builders refuse a base image whose history does not count its layers"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_same_program_makes_the_same_archive(tmp_path):
    program = tmp_path / "hello"
    program.write_bytes(b"\x7fELF")
    for name in ("a.tar", "b.tar"):
        systemimages.write_archive(tmp_path / name, program, "crackseg.local/hello:1")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


@pytest.mark.parametrize("content", [b"", b"not a tar", None], ids=["empty", "text", "missing"])
def test_a_file_that_is_no_image_is_refused_with_a_remedy(tmp_path, content):
    path = tmp_path / "image.tar"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LocalClusterError, match=r"is not an image archive(.|\n)*docker-archive"):
        archive.contents(path)


def test_pip_settings_come_from_files_and_the_environment_wins(tmp_path):
    system, user = tmp_path / "pip.conf", tmp_path / "user.conf"
    system.write_text("[global]\ncert = /etc/ca.pem\nindex-url = https://mirror.example/simple\ntimeout = 5\n")
    user.write_text("[global]\nindex-url = https://user:100%@mirror.example/simple\n")
    found = packageindex.settings({"PIP_CERT": "/env/ca.pem"}, [system, user, tmp_path / "absent"])
    assert found == {"cert": "/env/ca.pem", "index-url": "https://user:100%@mirror.example/simple"}


def test_a_private_authority_is_mounted_where_every_program_looks(tmp_path):
    mounts = packageindex.build_mounts({"cert": "/env/ca.pem"}, tmp_path)
    assert f"/env/ca.pem:{packageindex.SYSTEM_BUNDLE}:ro" in mounts
    assert (tmp_path / "pip.conf").read_text() == f"[global]\ncert = {packageindex.SYSTEM_BUNDLE}\n"
    assert (tmp_path / "pip.conf").stat().st_mode & 0o077 == 0, "an address may carry a password"


def test_a_plain_machine_mounts_nothing(tmp_path):
    assert packageindex.build_mounts({}, tmp_path) == []
    assert list(tmp_path.iterdir()) == []

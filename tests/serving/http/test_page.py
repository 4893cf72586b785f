"""`GET /`: the page as browsers get it, and the second port for it. What it does is tested in a browser (tests/browser)."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from pathlib import Path

import pytest
from tests.serving.conftest import Serve
from tests.serving.process import ServerProcess, ask

from crackseg_local.controlplane import free_port
from crackseg_serving import page

FOLDER = Path(page.__file__).parent
GZIP = {"Accept-Encoding": "gzip, deflate, br"}


def modules() -> dict[str, str]:
    return {name: (FOLDER / "script" / f"{name}.js").read_text() for name in page.SCRIPTS}


def test_every_script_is_part_of_the_page():
    assert sorted(page.SCRIPTS) == sorted(path.stem for path in (FOLDER / "script").iterdir())


def test_scripts_import_only_what_stands_before_them_and_is_exported():
    before: dict[str, str] = {}
    for name, text in modules().items():
        for names, module in re.findall(r'^import \{ (.+) \} from "\./(\w+)\.js";$', text, re.MULTILINE):
            exported = re.findall(r"^export (?:async )?(?:function|class|const) (\w+)", before[module], re.MULTILINE)
            assert set(names.split(", ")) <= set(exported), f"{name} imports from {module}"
        before[name] = text
    assert not re.search(r"^(import|export)\b", page._script(), re.MULTILINE)


def test_no_name_is_given_twice():
    """The scripts are one in the end: a name of one is a name of all."""
    declared = re.findall(
        r"^(?:export )?(?:async )?(?:function|class|const|let) (\w+)", "\n".join(modules().values()), re.MULTILINE
    )
    assert len(declared) > 50
    assert sorted(declared) == sorted(set(declared))


def test_scripts_are_short_and_make_no_markup_of_text():
    for name, text in modules().items():
        assert len(text.splitlines()) <= 300, name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text), name


def test_the_policy_lets_in_what_is_in_the_page_and_nothing_else():
    made = page.page()
    text = made.body.decode()
    for kind, tag in (("script", '<script type="module">'), ("style", "<style>")):
        (content,) = re.findall(rf"{tag}(.*?)</{kind}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in made.policy
    assert "unsafe" not in made.policy
    assert made.policy.startswith("default-src 'none';")
    assert not re.search(r'\s(on\w+|style)="', text), "the policy lets in no handlers and styles of elements"


def test_the_page_asks_for_nothing_elsewhere():
    addresses = set(re.findall(r"https?://[^\s'\"`)]+", page.page().body.decode()))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, not an address


@pytest.mark.serving
def test_the_page_comes_with_what_keeps_it_safe(server: ServerProcess):
    answer = server.ask("GET", "/")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.body == page.page().body
    assert answer.headers["content-security-policy"] == page.page().policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-model-version"] == "1.2.3"
    assert server.ask("HEAD", "/").body == b""


@pytest.mark.serving
def test_the_page_is_compressed_for_who_asks(server: ServerProcess):
    plain, small = server.ask("GET", "/"), server.ask("GET", "/", headers=GZIP)
    assert small.headers["content-encoding"] == "gzip"
    assert gzip.decompress(small.body) == plain.body
    assert len(small.body) < len(plain.body) / 2
    assert plain.headers["vary"] == small.headers["vary"] == "Accept-Encoding"
    assert plain.headers["etag"] != small.headers["etag"]


@pytest.mark.serving
@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
def test_who_has_the_page_need_not_get_it_again(server: ServerProcess, form: str):
    tag = server.ask("GET", "/", headers=GZIP).headers["etag"]
    again = server.ask("GET", "/", headers={**GZIP, "If-None-Match": form.format(tag)})
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    assert again.headers["cache-control"] == "no-cache"
    assert "content-length" not in again.headers
    other = server.ask("GET", "/", headers={**GZIP, "If-None-Match": '"other"'})
    assert other.status == 200


@pytest.mark.serving
def test_the_page_has_a_second_port_where_one_is_asked_for(serve: Serve):
    port = free_port()
    server = serve(PAGE_PORT=str(port)).wait_ready()
    assert ask(port, "GET", "/").body == server.ask("GET", "/").body
    assert ask(port, "GET", "/ready").status == 200
    second = serve(PAGE_PORT=str(port))
    assert second.wait() == 1
    assert f"127.0.0.1:{port}" in second.lines[-1]["message"]

"""Images by URL: from hosts that are allowed and addresses that are public, within bounds, and from nowhere else."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
from tests.serving.conftest import Serve
from tests.serving.http.upstream import PHOTOGRAPH, Upstream
from tests.serving.process import ServerProcess

from crackseg_serving.admission import Admission
from crackseg_serving.environment import SettingsError
from crackseg_serving.failures import Refused
from crackseg_serving.http.addresses import is_allowed, is_public, parse
from crackseg_serving.http.fetching import fetch
from crackseg_serving.http.problems import Problem
from crackseg_serving.settings import from_environment


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "2a00:1450:4001:800::200e"])
def test_a_public_address_is_public(address: str):
    assert is_public(parse(address))


@pytest.mark.parametrize(
    "address",
    [
        pytest.param("127.0.0.1", id="loopback"),
        pytest.param("127.8.9.1", id="loopback, another"),
        pytest.param("0.0.0.0", id="unspecified"),
        pytest.param("10.96.0.1", id="a cluster's service"),
        pytest.param("172.16.5.4", id="private"),
        pytest.param("192.168.1.1", id="private, at home"),
        pytest.param("100.64.0.1", id="a carrier's own"),
        pytest.param("100.100.100.200", id="a cloud's metadata among a carrier's own"),
        pytest.param("169.254.169.254", id="most clouds' metadata"),
        pytest.param("192.0.0.192", id="a cloud's metadata among protocol assignments"),
        pytest.param("168.63.129.16", id="a cloud's metadata with a public address"),
        pytest.param("224.0.0.1", id="multicast"),
        pytest.param("240.0.0.1", id="reserved"),
        pytest.param("255.255.255.255", id="broadcast"),
        pytest.param("203.0.113.7", id="documentation"),
        pytest.param("198.18.0.1", id="benchmarks"),
        pytest.param("::", id="unspecified, IPv6"),
        pytest.param("::1", id="loopback, IPv6"),
        pytest.param("::ffff:127.0.0.1", id="mapped loopback"),
        pytest.param("::ffff:8.8.8.8", id="mapped, public"),
        pytest.param("::127.0.0.1", id="compatible loopback"),
        pytest.param("64:ff9b::7f00:1", id="NAT64 of loopback"),
        pytest.param("64:ff9b:1::a00:1", id="NAT64 of a private network"),
        pytest.param("2002:7f00:1::", id="6to4 of loopback"),
        pytest.param("2001:0:7f00:1::", id="Teredo"),
        pytest.param("fe80::1%eth0", id="link-local with its interface"),
        pytest.param("fd00:ec2::254", id="a cloud's metadata, IPv6"),
        pytest.param("ff02::1", id="multicast, IPv6"),
        pytest.param("2001:db8::1", id="documentation, IPv6"),
    ],
)
def test_what_leads_inside_or_nowhere_is_not_public(address: str):
    assert not is_public(parse(address))


@pytest.mark.parametrize(
    ("host", "port", "allowed"),
    [
        pytest.param("photos.example.org", 443, True, id="the host"),
        pytest.param("photos.example.org", 8443, False, id="the host at a port that is not named"),
        pytest.param("example.org", 443, False, id="its parent"),
        pytest.param("a.photos.example.org", 443, False, id="below it"),
        pytest.param("photos.example.org.", 443, False, id="with a dot at its end"),
        pytest.param("evilphotos.example.org", 443, False, id="another name that ends like it"),
        pytest.param("a.wild.example.org", 443, True, id="below a star"),
        pytest.param("a.b.wild.example.org", 443, False, id="two below a star"),
        pytest.param("wild.example.org", 443, False, id="the star's own parent"),
        pytest.param("ports.example.org", 8443, True, id="a port that is named"),
        pytest.param("ports.example.org", 443, False, id="not the port that is named"),
        pytest.param("127.0.0.1", 443, False, id="an address"),
        pytest.param("org", 443, False, id="a top-level name"),
    ],
)
def test_hosts_are_allowed_by_their_exact_names(host: str, port: int, allowed: object):
    hosts = ("photos.example.org", "*.wild.example.org", "ports.example.org:8443")
    assert is_allowed(host, port, 443, hosts) == allowed


@pytest.mark.parametrize(
    "text", ["https://a.org", "10.0.0.1", "*", "a.*.org", "a.org/x", "[::1]", "a.org:x", "2130706433"]
)
def test_a_setting_that_names_no_host_ends_the_start(text: str):
    with pytest.raises(SettingsError, match="IMAGE_URL_HOSTS has"):
        from_environment({"IMAGE_URL_HOSTS": f"photos.example.org, {text}"})


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


Fetch = Callable[..., bytes]


@pytest.fixture
def fetched(upstream: int) -> Fetch:
    """Fetches a path of the upstream server, as if its address were a public one."""

    def get(
        path: str, *, max_bytes: int = 1 << 20, timeout: float = 60, client_seconds: int = 20, **more: Any
    ) -> bytes:
        settings = from_environment({"IMAGE_URL_HOSTS": f"localhost:{upstream}", "MAX_IMAGE_BYTES": str(max_bytes)})
        settings = replace(settings, client_seconds=client_seconds)
        admission = Admission(max_requests=1, memory=1 << 30, timeout=timeout)
        url = path if not path.startswith("/") else f"http://localhost:{upstream}{path}"
        with admission.request() as ticket, admission.body() as grow:
            return asyncio.run(fetch(settings, url, ticket, grow, **{"acceptable": lambda _: True, **more}))

    return get


def test_the_photograph_comes_whatever_its_server_calls_it(fetched: Fetch):
    assert fetched("/photograph") == PHOTOGRAPH
    assert fetched("/mislabelled") == PHOTOGRAPH


def test_nothing_is_sent_that_could_name_a_person(fetched: Fetch, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    Upstream.asked.clear()
    assert fetched("/cookie") == PHOTOGRAPH
    assert [set(headers) for headers in Upstream.asked] == [
        {"host", "connection", "user-agent", "accept", "accept-encoding"}
    ] * 2


def test_redirects_are_followed_three_times_at_most(fetched: Fetch, upstream: int):
    assert fetched("/redirect?to=/photograph") == PHOTOGRAPH
    assert fetched(f"/redirect?to=http://localhost:{upstream}/photograph") == PHOTOGRAPH
    with pytest.raises(Problem, match="redirects more than 3 times"):
        fetched("/circle")


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        pytest.param("/nothing", 502, "answered 404", id="not there"),
        pytest.param("/empty", 502, "an empty file", id="an empty file"),
        pytest.param("/packed", 502, "an encoding that was not asked for", id="packed"),
        pytest.param("/broken", 502, "broke off", id="half of it"),
        pytest.param("/redirect", 502, "redirects to something other", id="a redirect to nowhere"),
        pytest.param("/redirect?to=file:///etc/passwd", 502, "redirects to something other", id="a redirect to a file"),
        pytest.param(
            "/redirect?to=http://169.254.169.254/latest", 403, "not fetched from", id="a redirect to metadata"
        ),
        pytest.param("/redirect?to=//other.example.org/a", 403, "other.example.org", id="a redirect to another host"),
        pytest.param(
            "/redirect?to=http://u:p@localhost/", 403, "a user or a password", id="a redirect with a password"
        ),
        pytest.param("http://u:p@localhost/", 403, "a user or a password", id="a password"),
        pytest.param("http://localhost:1/", 403, "at port 1", id="another port"),
        pytest.param("http://127.0.0.1/", 403, "not fetched from 127.0.0.1", id="an address"),
        pytest.param("http://2130706433/", 403, "not fetched from", id="an address as a number"),
        pytest.param("http://[::1]/", 403, "not fetched from ::1", id="an address of IPv6"),
    ],
)
def test_what_cannot_be_had_is_a_problem_with_a_reason(fetched: Fetch, path: str, status: int, sentence: str):
    with pytest.raises(Problem, match=sentence) as caught:
        fetched(path)
    assert caught.value.status == status


@pytest.mark.parametrize(
    "url", ["ftp://localhost/a", "localhost/a", "http://", "http:///a", "file:///etc/passwd", "", "\0"]
)
def test_what_is_no_url_is_a_bad_request(fetched: Fetch, url: str):
    with pytest.raises(Refused, match="`url` must be"):
        fetched(url if "://" in url else f"x://{url}")


@pytest.mark.parametrize("path", ["/announced", "/endless"])
def test_more_bytes_than_are_taken_are_refused(fetched: Fetch, path: str):
    with pytest.raises(Refused, match="more than 65536 bytes"):
        fetched(path, max_bytes=1 << 16)


def test_a_source_that_dawdles_is_given_up(fetched: Fetch):
    with pytest.raises(Problem, match="did not send the image in time") as caught:
        fetched("/slow", client_seconds=1)
    assert caught.value.status == 504
    with pytest.raises(Problem, match="did not send the image in time"):
        fetched("/slow", timeout=0.2)


def test_a_name_with_one_address_that_is_not_acceptable_is_refused(fetched: Fetch):
    seen = []

    def acceptable(address: object) -> bool:
        seen.append(str(address))
        return False

    with pytest.raises(Problem, match="not public") as caught:
        fetched("/photograph", acceptable=acceptable)
    assert caught.value.status == 403
    assert seen[0] in {"127.0.0.1", "::1"}


def ask(server: ServerProcess, url: object) -> Any:
    body = json.dumps({"url": url}).encode()
    return server.ask("POST", "/v1/segment", body, {"Content-Type": "application/json"})


@pytest.mark.serving
def test_a_server_without_hosts_fetches_nothing(server: ServerProcess):
    answer = ask(server, "https://photos.example.org/a.jpg")
    assert (answer.status, answer.json["title"]) == (403, "URL not allowed")
    assert "spec.serving.imageURL.allowedHosts" in answer.json["detail"]


@pytest.mark.serving
def test_a_server_with_hosts_refuses_the_others_and_every_address_inside(serve: Serve, upstream: int):
    server = serve(IMAGE_URL_HOSTS=f"localhost:{upstream},*.invalid").wait_ready()
    Upstream.asked.clear()
    inside = ask(server, f"http://localhost:{upstream}/photograph")
    assert (inside.status, "not public" in inside.json["detail"]) == (403, True)
    assert ask(server, "http://other.example.org/a.jpg").status == 403
    unknown = ask(server, "http://photos.invalid/a.jpg")
    assert (unknown.status, "could not be resolved" in unknown.json["detail"]) == (502, True)
    assert [ask(server, url).status for url in (7, None, "", "x")] == [400] * 4
    assert Upstream.asked == []
    assert server.metric('crackseg_requests_rejected_total{reason="url-not-allowed"}') == 2


@pytest.mark.serving
def test_a_form_takes_one_url_or_images(server: ServerProcess):
    def form(*names: str) -> Any:
        parts = [
            f'--f\r\nContent-Disposition: form-data; name="{name}"\r\n\r\nhttps://photos.example.org/a.jpg\r\n'
            for name in names
        ]
        body = ("".join(parts) + "--f--\r\n").encode()
        return server.ask("POST", "/v1/segment", body, {"Content-Type": "multipart/form-data; boundary=f"})

    assert form("url").status == 403
    assert [form(*names).status for names in (("url", "url"), ("url", "image"))] == [400, 400]

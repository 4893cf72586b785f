"""Images by URL where nothing is pretended: a network of its own, in which public addresses are this machine's and names are its own.

Needs root, for the network, and the programs that make it; skips by name without them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.serving.pictures import cracked, mask_of, overlap
from tests.serving.process import ServerProcess, environment
from tests.serving.waiting import until

PROGRAMS = ("unshare", "nsenter", "ip", "mount", "curl", "openssl")
MISSING = [program for program in PROGRAMS if not shutil.which(program)] + (["root"] if os.geteuid() else [])

pytestmark = [
    pytest.mark.serving,
    pytest.mark.skipif(bool(MISSING), reason=f"a network of its own needs {', '.join(MISSING)}"),
]

PUBLIC, ANOTHER, INSIDE = "93.184.216.34", "93.184.216.35", "10.96.0.1"
NETWORK = f"""set -e
mount --bind "$HOSTS" /etc/hosts
ip link set lo up
for address in {PUBLIC} {ANOTHER} {INSIDE}; do ip address add "$address/32" dev lo; done
exec "$@"
"""


@dataclass(frozen=True)
class Network:
    """A server and a web server in a network of their own."""

    server: ServerProcess
    hosts: Path

    def name(self, name: str, *addresses: str) -> str:
        """Let `name` have these addresses and no others, from now on."""
        kept = [line for line in self.hosts.read_text().splitlines() if not line.endswith(f" {name}")]
        # Written, not replaced: the file is mounted.
        self.hosts.write_text("\n".join([*kept, *(f"{address} {name}" for address in addresses)]) + "\n")
        return name

    def run(self, *command: str) -> subprocess.Popen[str]:
        """A program in the network."""
        return subprocess.Popen(
            ["nsenter", "--net", "--mount", f"--target={self.server.process.pid}", *command],
            stdout=subprocess.PIPE,
            text=True,
            env=environment(PYTHONPATH=os.pathsep.join(sys.path)),
        )

    def curl(self, path: str, *options: str) -> subprocess.CompletedProcess[bytes]:
        """What curl gets from the server."""
        enter = ["nsenter", "--net", f"--target={self.server.process.pid}", "curl", "-s", "--noproxy", "*"]
        where = f"http://127.0.0.1:{self.server.port}{path}"
        return subprocess.run([*enter, *options, where], capture_output=True, check=False, timeout=120)

    def ask(self, url: str, query: str = "", seconds: str = "60") -> tuple[int, bytes]:
        """Status and body of the answer to one URL; status 0 where there is none in so many seconds."""
        told = ["-w", "%{http_code}", "-H", "Content-Type: application/json", "-d", json.dumps({"url": url})]
        found = self.curl(f"/v1/segment{query}", "--max-time", seconds, *told).stdout
        return int(found[-3:]), found[:-3]

    def problem(self, url: str) -> tuple[int, str]:
        """Status and sentence of a refusal."""
        status, body = self.ask(url)
        document: dict[str, Any] = json.loads(body)
        return status, document["detail"]


@pytest.fixture(scope="module")
def network(dark_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    folder = tmp_path_factory.mktemp("network")
    certificate, key, hosts = folder / "cert.pem", folder / "key.pem", folder / "hosts"
    certify(certificate, key, "photos.example.org")
    hosts.write_text("127.0.0.1 localhost\n")
    server = ServerProcess(
        folder,
        within=["unshare", "--net", "--mount", "sh", "-c", NETWORK, "sh"],
        HOSTS=str(hosts),
        SSL_CERT_FILE=str(certificate),
        MODEL_PATH=str(dark_model),
        CLIENT_SECONDS="300",  # what is called off is so because its client left, and not by the clock
        IMAGE_URL_HOSTS="photos.example.org,moved.example.org,*.wild.example.org",
    )
    try:
        until(lambda: any(line["message"] == "ready" for line in server.lines), "ready")
        found = Network(server, hosts)
        web = found.run(sys.executable, "-m", "tests.serving.http.upstream", str(certificate), str(key))
        try:
            assert web.stdout is not None
            assert web.stdout.readline() == "listening\n"
            found.name("photos.example.org", PUBLIC)
            yield found
        finally:
            web.kill()
            web.communicate()
    finally:
        server.kill()


def certify(certificate: Path, key: Path, name: str) -> None:
    """A certificate for `name` that vouches for itself."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    files = ["-addext", f"subjectAltName=DNS:{name}", "-out", str(certificate), "-keyout", str(key)]
    subprocess.run([*command, *files], check=True, capture_output=True)


def test_a_photograph_is_fetched_and_answered(network: Network):
    for scheme in ("https", "http"):
        status, body = network.ask(f"{scheme}://photos.example.org/photograph?signature=a%2Fb", "?output=mask")
        assert status == 200, body
        assert overlap(mask_of(body), cracked()[1]) > 0.9


def test_tls_checks_the_name_and_not_the_address(network: Network):
    host = network.name("a.wild.example.org", PUBLIC)
    assert network.ask(f"http://{host}/photograph")[0] == 200
    assert network.problem(f"https://{host}/photograph") == (502, f"{host} has a certificate that is not valid for it")


def test_redirects_lead_to_allowed_hosts_only_and_never_out_of_tls(network: Network):
    status, sentence = network.problem("https://photos.example.org/redirect?to=http://photos.example.org/photograph")
    assert (status, sentence) == (403, "photos.example.org redirects from https to http, which is not followed")
    network.name("inside.example.org", INSIDE)
    assert network.problem("http://photos.example.org/redirect?to=http://inside.example.org/photograph")[0] == 403
    assert network.problem(f"http://photos.example.org/redirect?to=http://{INSIDE}/photograph")[0] == 403
    assert network.ask("http://photos.example.org/redirect?to=https://photos.example.org/photograph")[0] == 200


def test_a_redirect_to_an_allowed_name_inside_is_refused(network: Network):
    inside = network.name("b.wild.example.org", INSIDE)
    status, sentence = network.problem(f"http://photos.example.org/redirect?to=http://{inside}/photograph")
    assert (status, "not public" in sentence) == (403, True)


@pytest.mark.parametrize("address", [INSIDE, "127.0.0.1", "169.254.169.254", "::1"])
def test_a_name_that_moves_inside_is_refused_at_once(network: Network, address: str):
    """Nothing of an earlier answer is kept: neither the address nor the connection."""
    url = f"http://{network.name('moved.example.org', PUBLIC)}/photograph"
    assert network.ask(url)[0] == 200
    network.name("moved.example.org", address)
    status, sentence = network.problem(url)
    assert (status, "not public" in sentence) == (403, True)


def test_a_name_with_a_public_and_a_private_address_is_refused(network: Network):
    url = f"http://{network.name('moved.example.org', PUBLIC, INSIDE)}/photograph"
    assert network.problem(url)[0] == 403
    network.name("moved.example.org", PUBLIC, ANOTHER)
    assert network.ask(url)[0] == 200


def test_a_page_instead_of_a_photograph_is_no_image(network: Network):
    status, sentence = network.problem("https://photos.example.org/page")
    assert (status, "image" in sentence) == (415, True)


def test_a_client_that_leaves_takes_its_fetch_with_it(network: Network):
    assert network.ask("http://photos.example.org/slow", seconds="3")[0] == 0

    def figures() -> bytes:
        return network.curl("/metrics").stdout

    until(
        lambda: b'crackseg_requests_rejected_total{reason="client-gone"} 1.0' in figures(), "the fetch to be called off"
    )
    until(lambda: b"\ncrackseg_requests_in_flight 1.0" in figures(), "nothing but this question to be in flight")

"""Keys and certificates of one cluster, made with openssl: one authority signs every component and every user.

Used by the control plane and the nodes. A certificate's organisation is the user's group, its common name the user, as
Kubernetes reads client certificates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from crackseg_local.command import run

_DAYS = "3650"
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """The folder of the keys, and the authority in it that signs them."""

    folder: Path

    @property
    def pair(self) -> Pair:
        """The authority's own certificate and key."""
        return self._files("ca")

    @property
    def service_account_key(self) -> Path:
        """Signs and verifies the tokens of service accounts."""
        return self.folder / "service-account.key"

    def _files(self, name: str) -> Pair:
        return Pair(self.folder / f"{name}.crt", self.folder / f"{name}.key")

    def ensure(self) -> None:
        """Make the authority and the key of the service accounts, unless they are there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        if not self.pair.certificate.exists():
            self._request("ca", "/CN=crackseg-local", ["-addext", "keyUsage=critical,keyCertSign,digitalSignature"])
        if not self.service_account_key.exists():
            unfinished = self.service_account_key.with_suffix(".new")
            run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", unfinished])
            unfinished.rename(self.service_account_key)

    def server(self, name: str, hosts: Sequence[str]) -> Pair:
        """A serving certificate for host names and IP addresses."""
        alternatives = ",".join(f"IP:{host}" if _is_address(host) else f"DNS:{host}" for host in hosts)
        extensions = ["-addext", f"subjectAltName={alternatives}", "-addext", "extendedKeyUsage=serverAuth"]
        return self._signed(name, f"/CN={name}", extensions)

    def client(self, name: str, user: str, groups: Sequence[str] = ()) -> Pair:
        """A certificate with which a user of these groups logs in."""
        subject = "".join(f"/O={group}" for group in groups) + f"/CN={user}"
        return self._signed(name, subject, ["-addext", "extendedKeyUsage=clientAuth"])

    def _signed(self, name: str, subject: str, extensions: Sequence[str]) -> Pair:
        files = self._files(name)
        if not files.certificate.exists():
            authority = ["-CA", str(self.pair.certificate), "-CAkey", str(self.pair.key)]
            plain = ["-addext", "basicConstraints=critical,CA:FALSE"]
            self._request(name, subject, [*authority, *plain, *extensions])
        return files

    def _request(self, name: str, subject: str, extensions: Sequence[str]) -> None:
        """Make key and certificate; the certificate comes to its place last, so that its presence means both."""
        files = self._files(name)
        unfinished = files.certificate.with_suffix(".new")
        target = ["-keyout", str(files.key), "-out", str(unfinished), "-subj", subject]
        run(["openssl", "req", "-x509", *_KEY, "-days", _DAYS, *target, *extensions])
        files.key.chmod(0o600)
        unfinished.rename(files.certificate)


def _is_address(host: str) -> bool:
    return host.replace(".", "").isdigit()

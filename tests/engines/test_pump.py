"""Encrypted connections to a daemon: a real TLS stream as a plain socket, and a drill over one."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from drharness import deploy
from drharness.deployment.engines import engine_named, require
from drharness.engines.docker import daemon, pump
from drharness.errors import Unsupported
from drharness.kernel import proc

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as ``DOCKER_CERT_PATH`` names one; one certificate is everybody's."""
    place = tmp_path_factory.mktemp("certificates")
    files = ["-keyout", str(place / "key.pem"), "-out", str(place / "cert.pem")]
    names = ["-subj", "/CN=test", "-addext", f"subjectAltName=IP:{HOST}"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    proc.run(["openssl", "req", "-x509", "-nodes", *curve, *files, *names], timeout=30.0)
    (place / "ca.pem").write_text((place / "cert.pem").read_text())
    return place


def server_side(certificates: Path) -> ssl.SSLContext:
    """Of who demands a certificate, too."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    context.load_verify_locations(certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.fixture
def stream(certificates: Path) -> Iterator[tuple[socket.socket, ssl.SSLSocket]]:
    """A plain socket of ours, and the other end of the TLS stream behind it."""
    client = ssl.create_default_context(cafile=str(certificates / "ca.pem"))
    client.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    ours, theirs = socket.socketpair()
    found: list[ssl.SSLSocket] = []
    accept = threading.Thread(
        target=lambda: found.append(server_side(certificates).wrap_socket(theirs, server_side=True))
    )
    accept.start()
    near = pump.plain(client.wrap_socket(ours, server_hostname=HOST))
    accept.join()
    with near, found[0] as far:
        yield near, far


def read(source: socket.socket, length: int) -> bytes:
    """That many bytes, or what came before the end."""
    parts = bytearray()
    while len(parts) < length and (data := source.recv(length - len(parts))):
        parts += data
    return bytes(parts)


def test_much_goes_both_ways_at_once(stream: tuple[socket.socket, ssl.SSLSocket]) -> None:
    near, far = stream
    there, back = bytes(range(256)) * 8192, bytes(reversed(range(256))) * 8192
    sender = threading.Thread(target=near.sendall, args=(there,))
    sender.start()
    echoed = []
    reader = threading.Thread(target=lambda: echoed.append(read(near, len(back))))
    reader.start()
    far.settimeout(30.0)
    assert read(far, len(there)) == there
    far.sendall(back)
    sender.join()
    reader.join()
    assert echoed == [back]


def test_the_end_of_either_is_the_end_of_both(
    stream: tuple[socket.socket, ssl.SSLSocket],
) -> None:
    near, far = stream
    near.sendall(b"last")
    near.shutdown(socket.SHUT_WR)
    assert read(far, 5) == b"last"
    assert near.recv(1) == b""


def test_the_end_of_the_stream_is_seen(stream: tuple[socket.socket, ssl.SSLSocket]) -> None:
    near, far = stream
    far.sendall(b"last")
    far.close()
    assert read(near, 5) == b"last"


class Front:
    """Terminates TLS in front of the daemon's own socket, as a daemon with ``--tlsverify`` does."""

    def __init__(self, certificates: Path, target: str) -> None:
        self._context, self._target = server_side(certificates), target
        self.served = 0
        self.listener = socket.create_server((HOST, 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                raw, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        with contextlib.suppress(OSError):
            near = pump.plain(self._context.wrap_socket(raw, server_side=True))
            self.served += 1
            with near, socket.socket(socket.AF_UNIX) as daemon_side:
                daemon_side.connect(self._target)
                there = threading.Thread(target=self._copy, args=(near, daemon_side), daemon=True)
                there.start()
                self._copy(daemon_side, near)
                there.join()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@pytest.mark.slow
@pytest.mark.docker
def test_a_deployment_by_a_daemon_that_demands_tls(
    certificates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require(engine_named("docker"))
    host = str(daemon.how()["environment"].get("DOCKER_HOST") or "unix:///var/run/docker.sock")
    front = Front(certificates, urlsplit(host).path)
    port = front.listener.getsockname()[1]
    monkeypatch.setenv("DOCKER_HOST", f"tcp://{HOST}:{port}")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(certificates))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # requests prefers them to Docker's own
        monkeypatch.delenv(name, raising=False)
    with deploy(engine="docker", evidence_dir=tmp_path) as d:
        assert d.vm("dns").run(["cat", "/etc/hostname"]).stdout == "dns\n"
        (run,) = [place.name for place in tmp_path.iterdir() if place.is_dir()]
    assert front.served > len(d.topology.vms)
    client = daemon.reach()
    assert daemon.left(client, run) == {}
    client.close()
    front.listener.close()


def test_a_daemon_behind_ssh_is_told_apart_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://somebody@far")
    with pytest.raises(Unsupported, match="ssh -nNT -L"):
        daemon.reach()

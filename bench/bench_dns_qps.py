"""Queries per second of the authoritative server beside dnslib's own server, in one run.

Each server runs in a process of its own on the loopback interface and serves the same 200 addresses
to the same client, one after the other. The client is dnsperf where it is installed, else a loop
in this process that keeps 100 queries outstanding; then it is the client that limits the faster
server, so the processor time that a server spends on a query says more than the rate.

    python bench/bench_dns_qps.py            # about 10 s
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import struct
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from dnslib import RR
from dnslib.server import BaseResolver, DNSLogger, DNSServer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
from drharness.dns import codec, names, zonefile
from drharness.dns.server import DnsServer
from drharness.kernel import clock, proc, waiting

SECONDS = 3
NAMES = [f"h{number}.dr.internal" for number in range(200)]
OUTSTANDING = 100
TARGET = 12


def serve_ours(port: int) -> None:
    """Run drharness's server for ever."""
    change = zonefile.empty("dr.internal", "127.0.0.1").transaction()
    for number, name in enumerate(NAMES):
        change.set(name, [f"10.0.0.{number}"], ttl=30)
    zone = change.commit()

    async def run() -> None:
        await DnsServer(zone, port=port).start()
        await asyncio.Event().wait()

    asyncio.run(run())


def serve_dnslib(port: int) -> None:
    """Run dnslib's UDP server for ever, on a resolver that looks a table up."""
    table = {
        f"{name}.": RR.fromZone(f"{name}. 30 IN A 10.0.0.{number}")
        for number, name in enumerate(NAMES)
    }

    class Table(BaseResolver):
        def resolve(self, request: object, handler: object) -> object:
            reply = request.reply()  # type: ignore[attr-defined]
            reply.add_answer(*table.get(str(request.q.qname).lower(), ()))  # type: ignore[attr-defined]
            return reply

    quiet = DNSLogger(log="-request,-reply,-truncated,-error,-recv,-send,-data", prefix=False)
    DNSServer(Table(), address="127.0.0.1", port=port, logger=quiet).start()


SERVERS: dict[str, Callable[[int], None]] = {"drharness": serve_ours, "dnslib": serve_dnslib}


def queries() -> list[bytes]:
    """One query per name, without the id."""
    questions = [codec.question_of(names.to_wire(name), 1) for name in NAMES]
    return [struct.pack("!HHHHH", codec.RD, 1, 0, 0, 0) + question for question in questions]


def own_client(port: int) -> tuple[float, int]:
    """(queries per second, queries lost) with a window of outstanding queries."""
    tails = queries()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        sock.settimeout(0.5)
        sent = answered = lost = 0
        started = clock.now()
        while (now := clock.now()) < started + SECONDS:
            for _ in range(OUTSTANDING - (sent - answered - lost)):
                sock.send(sent.to_bytes(8, "big")[-2:] + tails[sent % len(tails)])
                sent += 1
            try:
                for _ in range(OUTSTANDING // 2):
                    sock.recv(512)
                    answered += 1
            except TimeoutError:
                lost = sent - answered
        return answered / (now - started), lost


def dnsperf(port: int) -> tuple[float, int]:
    """The same by dnsperf."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("".join(f"{name} A\n" for name in NAMES))
        file.flush()
        argv = ["dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", file.name]
        text = proc.run([*argv, "-l", str(SECONDS), "-c", "4", "-q", "50"]).output
    rate = re.search(r"Queries per second:\s+([\d.]+)", text)
    lost = re.search(r"Queries lost:\s+(\d+)", text)
    if rate is None or lost is None:
        raise SystemExit(f"dnsperf said something unexpected:\n{text}")
    return float(rate[1]), int(lost[1])


def processor_seconds(pid: int) -> float:
    """What a process has spent so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def answers(port: int) -> bool:
    """Whether a server answers there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.1)
        sock.connect(("127.0.0.1", port))
        sock.send(b"\0\0" + queries()[0])
        return len(sock.recv(512)) > 12


def measure(name: str, client: Callable[[int], tuple[float, int]]) -> float:
    """Start a server, load it, print a line; queries per second."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = proc.popen([sys.executable, __file__, name, str(port)], env=dict(os.environ), stderr=2)
    try:
        waiting.wait_until(lambda: answers(port), name, timeout=5, retry_on=(OSError,))
        before = processor_seconds(server.pid)
        rate, lost = client(port)
        spent = (processor_seconds(server.pid) - before) / (rate * SECONDS) * 1e6
    finally:
        server.kill()
        server.wait()
    print(f"{name:10} {rate:9,.0f} queries/s   {spent:6.1f} µs processor time each   lost {lost}")
    return rate


def main() -> None:
    """Compare, and say what was compared."""
    if len(sys.argv) == 3:
        SERVERS[sys.argv[1]](int(sys.argv[2]))
        return
    found = proc.which("dnsperf")
    client = dnsperf if found else own_client
    using = "dnsperf, 4 clients" if found else f"own client, {OUTSTANDING} outstanding"
    print(
        f"UDP, loopback, {len(NAMES)} names, {SECONDS} s each, {using}, {os.cpu_count()} processors"
    )
    ours, stock = measure("drharness", client), measure("dnslib", client)
    print(f"drharness answers {ours / stock:.1f} times as many (with dnsperf: at least {TARGET})")


if __name__ == "__main__":
    main()

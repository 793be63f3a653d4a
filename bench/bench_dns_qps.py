"""Queries per second of the authoritative server beside dnslib's own server and nsd, in one run.

Each server runs in a process of its own on the loopback interface and serves the same 200 addresses
to the same client, one after the other, in several rounds; figures are medians of the rounds, and
ratios are taken within a round, so that whatever else the machine does hits all alike. The client
is dnsperf where it is installed, else a loop in this process that keeps 100 queries outstanding;
then it is the client that limits the faster servers, so the processor time that a server spends on
a query says more than the rate. nsd is an authoritative server in C: the control.

Then records are changed while that client asks: after a change has returned, no answer may be old.

    apt-get install dnsperf nsd              # both are optional
    python bench/bench_dns_qps.py [ROUNDS]   # about 10 s a round
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import statistics
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dnslib import RR
from dnslib.server import BaseResolver, DNSLogger, DNSServer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
from drharness.dns import channel, codec, names, zonefile
from drharness.dns.server import DnsServer
from drharness.engines.local import remains
from drharness.kernel import clock, proc, waiting

SECONDS = 3
NAMES = [f"h{number}.dr.internal" for number in range(200)]
OUTSTANDING = 100
TARGET = 12.0  # times dnslib
TARGET_NSD = 0.6  # times nsd
CHANGES, ASKED = 200, 50  # records changed, and queries sent after each change
CONTROL = "control.sock"


def serve_ours(port: int, directory: str) -> None:
    """Run drharness's server for ever."""
    change = zonefile.empty("dr.internal", "127.0.0.1").transaction()
    for number, name in enumerate(NAMES):
        change.set(name, [f"10.0.0.{number}"], ttl=30)
    zone = change.commit()

    async def run() -> None:
        await DnsServer(zone, port=port).start(control=f"{directory}/{CONTROL}")
        await asyncio.Event().wait()

    asyncio.run(run())


def serve_dnslib(port: int, directory: str) -> None:
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


def serve_nsd(port: int, directory: str) -> None:
    """Become nsd, with one serving process."""
    lines = [f"h{number} IN A 10.0.0.{number}\n" for number in range(len(NAMES))]
    Path(directory, "zone").write_text(
        "$ORIGIN dr.internal.\n$TTL 30\n@ IN SOA ns hostmaster 1 3600 600 86400 5\n@ IN NS ns\n"
        f"ns IN A 127.0.0.1\n{''.join(lines)}"
    )
    paths = {"pidfile": "pid", "xfrdfile": "xfrd", "zonelistfile": "zones", "logfile": "log"}
    files = "".join(f'  {key}: "{directory}/{name}"\n' for key, name in paths.items())
    config = Path(directory, "nsd.conf")
    config.write_text(
        f'server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n  username: ""\n'
        f'  chroot: ""\n  minimal-responses: yes\n  database: ""\n'
        f'  zonesdir: "{directory}"\n  xfrdir: "{directory}"\n'
        f"{files}remote-control:\n  control-enable: no\nzone:\n  name: dr.internal\n"
        "  zonefile: zone\n"
    )
    program = proc.which("nsd")
    assert program is not None
    os.execv(program, [program, "-d", "-c", str(config)])


SERVERS: dict[str, Callable[[int, str], None]] = {
    "drharness": serve_ours,
    "dnslib": serve_dnslib,
    "nsd": serve_nsd,
}
Client = Callable[[int], tuple[float, int]]


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
    """What a process and those below it have spent so far."""
    spent = 0
    for one in (pid, *remains.below(pid, remains.processes())):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        spent += int(fields[11]) + int(fields[12])
    return spent / os.sysconf("SC_CLK_TCK")


def answers(port: int) -> bool:
    """Whether a server answers there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.1)
        sock.connect(("127.0.0.1", port))
        sock.send(b"\0\0" + queries()[0])
        return len(sock.recv(512)) > 12


@contextmanager
def serving(name: str) -> Iterator[tuple[int, int, str]]:
    """A server that answers: its port, its process, and the directory of its files."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        argv = [sys.executable, __file__, name, str(port), directory]
        server = proc.popen(argv, env=dict(os.environ), stderr=2)
        try:
            waiting.wait_until(lambda: answers(port), name, timeout=5, retry_on=(OSError,))
            yield port, server.pid, directory
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


@dataclass(frozen=True)
class Measured:
    """Queries per second, microseconds of processor time for each, and queries lost."""

    rate: float
    spent: float
    lost: int


def measure(name: str, client: Client) -> Measured:
    """Load a server of its own."""
    with serving(name) as (port, pid, _):
        before = processor_seconds(pid)
        rate, lost = client(port)
        spent = (processor_seconds(pid) - before) / (rate * SECONDS) * 1e6
    return Measured(rate, spent, lost)


@contextmanager
def loaded(port: int) -> Iterator[None]:
    """Let dnsperf, where it is installed, ask for as long as the block runs."""
    program = proc.which("dnsperf")
    if program is None:
        yield
        return
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file, open(os.devnull, "wb") as null:
        file.write("".join(f"{name} A\n" for name in NAMES))
        file.flush()
        argv = [program, "-s", "127.0.0.1", "-p", str(port), "-d", file.name, "-l", "60"]
        load = proc.popen(argv, env=dict(os.environ), stderr=null.fileno())
        try:
            yield
        finally:
            load.kill()
            load.wait()


async def stale() -> tuple[int, int]:
    """Change records under load: (answers, those that were old after the change had returned)."""
    answered = old = 0
    with serving("drharness") as (port, _, directory), loaded(port):
        for number in range(CHANGES):
            which = number % len(NAMES)
            value = f"10.1.{number // 256}.{number % 256}"
            path = f"{directory}/{CONTROL}"
            await channel.call(path, "set", records={NAMES[which]: [value]})
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.connect(("127.0.0.1", port))
                sock.settimeout(5)
                for ident in range(ASKED):
                    sock.send(ident.to_bytes(2, "big") + queries()[which])
                for _ in range(ASKED):
                    answered += 1
                    old += not sock.recv(512).endswith(socket.inet_aton(value))
    return answered, old


def report(rounds: list[dict[str, Measured]]) -> dict[str, float]:
    """Print a line for each server; how many times as many ours answers, by the other's name."""
    times = {}
    print("server      queries/s (min - max)           µs of processor each   lost   ours / it")
    for name in rounds[0]:
        rates = sorted(one[name].rate for one in rounds)
        spent = statistics.median(one[name].spent for one in rounds)
        lost = sum(one[name].lost for one in rounds)
        times[name] = statistics.median(one["drharness"].rate / one[name].rate for one in rounds)
        middle = f"{statistics.median(rates):9,.0f} ({rates[0]:,.0f} - {rates[-1]:,.0f})"
        print(f"{name:10} {middle:32}  {spent:10.1f}  {lost:14}   {times[name]:6.2f}")
    return times


def main() -> None:
    """Compare, and say what was compared."""
    if len(sys.argv) == 4:
        SERVERS[sys.argv[1]](int(sys.argv[2]), sys.argv[3])
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    found = proc.which("dnsperf") is not None
    client: Client = dnsperf if found else own_client
    using = "dnsperf, 4 clients" if found else f"own client, {OUTSTANDING} outstanding"
    print(
        f"UDP, loopback, {len(NAMES)} names, {count} rounds of {SECONDS} s each, {using}, "
        f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"
    )
    absent = [name for name in ("dnsperf", "nsd") if proc.which(name) is None]
    if absent:
        print(f"not installed, so left out: {', '.join(absent)} (apt-get install dnsperf nsd)")
    compared = [name for name in SERVERS if name not in absent]
    times = report([{name: measure(name, client) for name in compared} for _ in range(count)])
    answered, old = asyncio.run(stale())
    print(f"{old} of {answered:,} answers were old after a change had returned ({CHANGES} changes)")
    goals = [("dnslib", TARGET)] if found else []
    goals += [("nsd", TARGET_NSD)] if found and "nsd" in times else []
    met = not old and all(times[name] >= least for name, least in goals)
    said = "".join(f", at least {least:g} times {name}" for name, least in goals)
    print(f"goal: no old answer{said}: {'met' if met else 'NOT met'}")
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()

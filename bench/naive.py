"""Disaster recovery tried by hand: a primary, a standby and a DNS server, three plain processes.

What one writes first, and so a yardstick for how long things take: it uses nothing of drharness and
takes every short cut that does not change what is seen. The database is reached by the name
``db.test``, whose record the failover changes. The three share one loopback interface, so nothing
can be cut off; there are no clients, no firewall, and nobody looks what was lost.

    python bench/naive.py PG_BIN     # the directory of PostgreSQL's programs; prints three times
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess  # noqa: TID251 - on purpose without drharness
import sys
import tempfile
import time  # noqa: TID251 - as above
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
from dnslib import QTYPE, RCODE, RR, A, DNSRecord
from dnslib.server import BaseResolver, DNSLogger, DNSServer

NAME = "db.test"
PRIMARY, STANDBY = "127.0.0.2", "127.0.0.3"
USER = "nobody" if os.geteuid() == 0 else None  # PostgreSQL does not run as root
CONF = """
listen_addresses = '{address}'
port = {port}
unix_socket_directories = ''
max_connections = 20
shared_buffers = 16MB
wal_level = replica
max_wal_senders = 4
max_replication_slots = 4
synchronous_standby_names = ''
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 100ms
fsync = off
"""


class Naive:
    """The three processes; :meth:`up` first, :meth:`down` at the end."""

    def __init__(self, directory: Path, pg_bin: Path) -> None:
        """Nothing is started.

        :param directory: empty; owned by the user that PostgreSQL runs as
        """
        self.directory, self.bin = directory, pg_bin
        self.records = directory / "records"
        self.data = {PRIMARY: directory / "primary", STANDBY: directory / "standby"}
        self.saved = directory / "saved"
        self.saved.mkdir()
        self.port, self.dns_port = free_port(), free_port()
        self.dns: subprocess.Popen[bytes] | None = None

    # -- up and down -----------------------------------------------------------------------

    def up(self) -> None:
        """Primary, standby that streams, and a name that leads to the primary."""
        self._start_dns()
        self._pg("initdb", "-D", self.data[PRIMARY], "-A", "trust", "-U", "postgres", "--no-sync")
        self._configure(PRIMARY)
        with (self.data[PRIMARY] / "pg_hba.conf").open("a") as hba:
            hba.write("host all,replication all 127.0.0.0/8 trust\n")
        self._start(PRIMARY)
        self._sql(PRIMARY, "CREATE TABLE written (id bigserial PRIMARY KEY, at timestamptz)")
        source = ["-h", PRIMARY, "-p", str(self.port), "-U", "postgres"]
        copy = ["-D", self.data[STANDBY], "-R", "-C", "-S", "standby", "-X", "stream"]
        self._pg("pg_basebackup", *source, *copy, "-c", "fast", "--no-sync")
        self._configure(STANDBY)
        self._start(STANDBY)
        self._wait_streaming()
        self._wait_for_standby("standby")
        wait(self._answered, "the DNS server")
        self.write()

    def down(self) -> None:
        """End all three at once: there is nothing in them that anybody wants."""
        for address in self.data:
            self._stop(address)
        if self.dns is not None:
            self.dns.kill()
            self.dns.wait()
            self.dns = None

    def save(self) -> None:
        """Keep both data directories as they are, so that :meth:`reset` need not make them."""
        for data in self.data.values():
            self._pg("pg_ctl", "-D", data, "-m", "fast", "-w", "stop")
        subprocess.run(["cp", "-a", *self.data.values(), self.saved], check=True)
        self._start(*self.data)
        self._wait_streaming()

    def reset(self) -> None:
        """As it was when it was saved: cheaper than making both anew, and what one would do."""
        for address, data in self.data.items():
            self._stop(address)
            shutil.rmtree(data)
        kept = [self.saved / data.name for data in self.data.values()]
        subprocess.run(["cp", "-a", *kept, self.directory], check=True)
        self._point(PRIMARY)
        self._start(*self.data)
        self._wait_streaming()
        self.write()

    # -- failover --------------------------------------------------------------------------

    def lose(self) -> None:
        """The primary has gone, without a word."""
        self._stop(PRIMARY)

    def fail_over(self) -> None:
        """The standby becomes the primary, the name follows, and a write through it works."""
        self._pg("pg_ctl", "-D", self.data[STANDBY], "-w", "promote")
        self._point(STANDBY)
        wait(self.write, "a write through the name", retry_on=(psycopg.Error, OSError))

    def write(self) -> bool:
        """One change through the name."""
        address = self.resolve()
        self._sql(address, "INSERT INTO written (at) VALUES (now())")
        return True

    # -- the pieces ------------------------------------------------------------------------

    def resolve(self) -> str:
        """What the DNS server says that the name is now."""
        query = DNSRecord.question(NAME, "A")
        packet = query.send("127.0.0.1", self.dns_port, timeout=1)
        return str(DNSRecord.parse(packet).short())

    def _answered(self) -> bool:
        try:
            return self.resolve() == PRIMARY
        except OSError:
            return False

    def _point(self, address: str) -> None:
        new = self.records.with_suffix(".new")
        new.write_text(address)
        new.rename(self.records)

    def _start_dns(self) -> None:
        self._point(PRIMARY)
        argv = [sys.executable, __file__, "dns", str(self.records), str(self.dns_port)]
        self.dns = subprocess.Popen(argv, stderr=subprocess.DEVNULL)

    def _configure(self, address: str) -> None:
        path = self.data[address] / "postgresql.auto.conf"
        text = path.read_text().replace("user=postgres", "user=postgres application_name=standby")
        path.write_text(text)
        conf = CONF.format(address=address, port=self.port)
        (self.data[address] / "postgresql.conf").write_text(conf)

    def _start(self, *addresses: str) -> None:
        """Start servers at once, and wait until each takes connections."""
        with ThreadPoolExecutor() as starting:
            list(starting.map(self._start_one, addresses))

    def _start_one(self, address: str) -> None:
        log = self.directory / f"{self.data[address].name}.log"
        self._pg("pg_ctl", "-D", self.data[address], "-l", log, "-w", "start")

    def _stop(self, address: str) -> None:
        """Kill a server, if it runs."""
        if (self.data[address] / "postmaster.pid").exists():
            self._pg("pg_ctl", "-D", self.data[address], "-m", "immediate", "-w", "stop")

    def _wait_streaming(self) -> None:
        query = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        wait(lambda: self._sql(PRIMARY, query) == [(1,)], "the standby to stream")

    def _wait_for_standby(self, name: str) -> None:
        """Acknowledge a write only once the standby has it."""
        self._sql(PRIMARY, f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
        self._sql(PRIMARY, "SELECT pg_reload_conf()")

    def _pg(self, program: str, *arguments: str | Path) -> None:
        argv = [str(self.bin / program), *map(str, arguments)]
        # To a file: a server that pg_ctl starts would keep a pipe open.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(argv, stdout=output, stderr=output, user=USER, cwd="/")
            if done.returncode:
                output.seek(0)
                raise SystemExit(f"{' '.join(argv)}:\n{output.read().decode()}")

    def _sql(self, address: str, text: str) -> list[Any]:
        where = {"host": address, "port": self.port, "user": "postgres", "dbname": "postgres"}
        limits = {"connect_timeout": 5, "options": "-c statement_timeout=5s"}
        with psycopg.connect(**where, **limits, autocommit=True) as connection:
            cursor = connection.execute(text)
            return cursor.fetchall() if cursor.description else []


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait(
    probe: Callable[[], bool],
    what: str,
    *,
    timeout: float = 20.0,
    retry_on: tuple[type[Exception], ...] = (),
) -> None:
    """Until it is so."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            if probe():
                return
        except retry_on:
            pass
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {timeout:g} s in vain for {what}")
        time.sleep(0.005)


class File(BaseResolver):
    """Answers with the address in a file, whatever it is now."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def resolve(self, request: Any, handler: Any) -> Any:
        """The record, or no such name."""
        reply = request.reply()
        if str(request.q.qname) == f"{NAME}.":
            reply.add_answer(RR(NAME, QTYPE.A, ttl=0, rdata=A(self.path.read_text())))
        else:
            reply.header.rcode = RCODE.NXDOMAIN
        return reply


def serve_dns(path: str, port: int) -> None:
    """The DNS server's process."""
    quiet = DNSLogger(log="-request,-reply,-truncated,-error,-recv,-send,-data", prefix=False)
    DNSServer(File(path), address="127.0.0.1", port=port, logger=quiet).start()


def place() -> tempfile.TemporaryDirectory[str]:
    """A directory for it, which PostgreSQL's user may use."""
    directory = tempfile.TemporaryDirectory(prefix="naive-")
    if USER is not None:
        shutil.chown(directory.name, USER)
    return directory


def main() -> None:
    """Once through it all."""
    if sys.argv[1] == "dns":
        serve_dns(sys.argv[2], int(sys.argv[3]))
        return
    with place() as directory:
        naive = Naive(Path(directory), Path(sys.argv[1]))
        try:
            for what in (naive.up, naive.save, naive.lose, naive.fail_over, naive.reset):
                begun = time.monotonic()
                what()
                print(f"{what.__name__}: {time.monotonic() - begun:.3f} s")
        finally:
            naive.down()


if __name__ == "__main__":
    main()

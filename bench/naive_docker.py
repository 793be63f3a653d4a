"""The naive way in containers: a primary, a standby and a DNS server, started and failed over once.

What a good engineer writes with testcontainers in an afternoon: one container after the other, each
waited for by what it logs, and the failover is a kill, a promotion and a changed name. No second
region, no Framework, no proxies, no firewall, no checks. And the same by somebody who has an
afternoon more (``tuned``): all three at once, looked at every 50 ms instead of every second, and
nothing of the new database is synced to disk.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.waiting_utils import wait_for_logs

from drharness.kernel.waiting import wait_until

testcontainers_config.ryuk_disabled = True
_READY = "database system is ready to accept"
_BIN = "/opt/drharness/database/bin"
_SERVE = "-D /data -c listen_addresses='*' -c unix_socket_directories=/tmp"
_TRUST = "host all all all trust\\nhost replication all all trust\\n"
_PRIMARY = """
set -e
mkdir -p /data && chown postgres /data
su postgres -c "{bin}/initdb -D /data -A trust {initdb} >/dev/null"
printf '{trust}' >> /data/pg_hba.conf
exec su postgres -c "{bin}/postgres {serve} -c wal_level=replica"
"""
_STANDBY = f"""
set -e
mkdir -p /data && chown postgres /data && chmod 700 /data
until su postgres -c "{_BIN}/pg_basebackup -h primary -U postgres -D /data -R -c fast"; do
    rm -rf /data/* ; sleep 0.1
done
exec su postgres -c "{_BIN}/postgres {_SERVE}"
"""
_DNS = "exec dnsmasq --keep-in-foreground --log-facility=- --no-resolv --user= --hostsdir=/names"


class Naive:
    """The three containers."""

    def __init__(self, dbms: str, vm: str, *, tuned: bool) -> None:
        self._tuned, self._look_s = tuned, 0.05 if tuned else 1.0
        testcontainers_config.sleep_time = 0.1 if tuned else 1  # its default
        self.network = Network().create()
        primary = _PRIMARY.format(
            bin=_BIN, trust=_TRUST, serve=_SERVE, initdb="--no-sync" if tuned else ""
        )
        self.primary = self._container(dbms, "primary", primary)
        self.standby = self._container(dbms, "standby", _STANDBY)
        self.dns = self._container(vm, "dns", f"mkdir /names; {_DNS}")
        self.started: list[DockerContainer] = []

    def _container(self, image: str, name: str, script: str) -> DockerContainer:
        made = DockerContainer(image).with_network(self.network).with_network_aliases(name)
        return made.with_kwargs(entrypoint=["bash", "-c", script])

    def up(self) -> None:
        """Start all three, wait for each, and give the database its name."""
        things = ((self.primary, _READY), (self.standby, _READY), (self.dns, "started"))
        if self._tuned:
            with ThreadPoolExecutor(len(things)) as pool:
                list(pool.map(self._start, [container for container, _ in things]))
                list(pool.map(self._wait, *zip(*things, strict=True)))
        else:
            for container, line in things:
                self._start(container)
                self._wait(container, line)
        self._name("primary")

    def _wait(self, container: DockerContainer, line: str) -> None:
        wait_for_logs(container, line, 60, self._look_s)

    def _start(self, container: DockerContainer) -> None:
        self.started.append(container)
        container.start()

    def _name(self, host: str) -> None:
        """``db.internal`` is that container, and the server says so."""
        found = self.network._unwrap_network  # it has no accessor
        found.reload()
        addresses = {
            entry["Name"]: entry["IPv4Address"].partition("/")[0]
            for entry in found.attrs["Containers"].values()
        }
        container = {"primary": self.primary, "standby": self.standby}[host]
        address = addresses[container.get_wrapped_container().name]
        line = f"echo '{address} db.internal' > /names/hosts && pkill -HUP -x dnsmasq"
        self.dns.exec(["sh", "-c", line])
        ask = (
            "import sys; from drharness.dns import control; import asyncio; "
            "print(asyncio.run(control.lookup('db.internal'))['addresses'])"
        )
        wait_until(
            lambda: address in str(self.dns.exec(["python3", "-c", ask]).output),
            f"db.internal is {address}",
            timeout=30.0,
        )

    def fail_over(self) -> None:
        """Kill the primary, promote the standby, change the name, write."""
        self.primary.get_wrapped_container().kill()
        self.standby.exec(["su", "postgres", "-c", f"{_BIN}/pg_ctl -D /data -w promote"])
        self._name("standby")
        write = f"{_BIN}/psql -h localhost -U postgres -c 'CREATE TABLE t(a int)'"
        done = self.standby.exec(["sh", "-c", write])
        assert done.exit_code == 0, done.output

    def down(self) -> None:
        """Remove everything."""
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda c: c.stop(), self.started))
        self.network.remove()

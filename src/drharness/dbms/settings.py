"""PostgreSQL's configuration files as text, per major version. Pure.

All regions get the same settings: each names another as its upstream and all others as its
synchronous standbys, and the file ``standby.signal`` alone decides who is which. So a promoted
server inherits synchronous_standby_names and must have it cleared, as everywhere.

Detection of dead peers follows the profile's ADDP timeout T: silent for T, probed, given up after T
more. A powered-off Framework VM frees its writer lock that way, and a cut standby its WAL sender.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drharness.topology import Profile, Topology, addresses

SUPERUSER, OBSERVER, REPLICATOR = "postgres", "observer", "replicator"
DATABASE = "config"
SOCKET_DIRECTORY = "/run/postgresql"
# Beside the socket, in memory: settings that are to end with the VM's power.
VOLATILE = "volatile.conf"

# The control file records these, and a standby refuses to start below its primary's values. A copy
# of the template carries the template's values, so it is made with the same ones.
REPLAYED: Mapping[str, object] = {
    "wal_level": "replica",
    "wal_log_hints": "on",  # pg_rewind needs it, or checksums
    "max_connections": 40,
    "max_worker_processes": 2,
    "max_wal_senders": 6,
    "max_prepared_transactions": 0,
    "max_locks_per_transaction": 64,
}


@dataclass(frozen=True)
class Server:
    """One region's DBMS, as far as its configuration files go.

    :ivar region: its region; its name as a standby and the name of its slot
    :ivar peer: the region it follows as a standby; ``peer_address`` and ``peer_port`` its DBMS
    :ivar synchronous: a commit waits until the peer has it, and every region of ``further``
    :ivar clients: networks the Configuration Server may come from (the Framework slices)
    :ivar replicas: networks a standby may come from (the DBMS slices)
    """

    region: str
    peer: str
    peer_address: str
    synchronous: bool
    clients: tuple[str, ...]
    replicas: tuple[str, ...]
    profile: Profile
    listen: str = "*"
    port: int = addresses.POSTGRES_PORT
    peer_port: int = addresses.POSTGRES_PORT
    socket_directory: str = SOCKET_DIRECTORY
    further: tuple[str, ...] = ()

    @classmethod
    def of(cls, topology: Topology, region: str) -> Server:
        """The DBMS of a region of the reference architecture.

        Standbys follow the first region, which is active at the start.
        """
        peer, *further = topology.others(region)
        numbers = [topology.number(name) for name in topology.regions]
        return cls(
            region=region,
            peer=peer,
            peer_address=topology.dbms(peer).address,
            synchronous=topology.replication == "sync",
            clients=tuple(addresses.subnet(n, "framework") for n in numbers),
            replicas=tuple(addresses.subnet(n, "dbms") for n in numbers),
            profile=topology.profile,
            further=tuple(further),
        )


def postgresql_conf(server: Server, major: int) -> str:
    """``postgresql.conf``, complete; what it leaves out is PostgreSQL's default."""
    values = {
        **REPLAYED,
        **_connections(server),
        **_replication(server),
        **_small_footprint(),
        **_of_major(major),
        "include_if_exists": f"{server.socket_directory}/{VOLATILE}",  # last: it overrules
    }
    lines = [f"{name} = {quoted(value)}" for name, value in values.items()]
    return "\n".join(["# written by drharness", *lines, ""])


def pg_hba_conf(server: Server) -> str:
    """``pg_hba.conf``: who may log in from where; whoever is not listed may not."""
    lines = [
        "# written by drharness",
        f"local {DATABASE} {SUPERUSER} trust",
        f"local {DATABASE} {OBSERVER} trust",
        *(f"host {DATABASE} configserver {net} scram-sha-256" for net in server.clients),
        *(f"host replication {REPLICATOR} {net} scram-sha-256" for net in server.replicas),
        "",
    ]
    return "\n".join(lines)


def synchronous_standby_names(standbys: Sequence[str]) -> str:
    """The setting that makes each commit wait for all ``standbys``; empty for none.

    With fewer, nobody could say which of them has every change that was acknowledged.
    """
    names = ", ".join('"' + name.replace('"', '""') + '"' for name in standbys)
    return f"FIRST {len(standbys)} ({names})" if names else ""


def slot_name(region: str) -> str:
    """The replication slot of a region's standby: lower-case letters, digits and underscores."""
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in region.lower())


def _connections(server: Server) -> dict[str, object]:
    silence = server.profile.addp_timeout
    return {
        "listen_addresses": server.listen,
        "port": server.port,
        "unix_socket_directories": server.socket_directory,
        "superuser_reserved_connections": 5,
        "authentication_timeout": "10s",
        # TCP_USER_TIMEOUT, where set, overrules the number of keep-alive probes.
        "tcp_keepalives_idle": max(1, math.ceil(silence)),
        "tcp_keepalives_interval": max(1, math.ceil(silence / 2)),
        "tcp_keepalives_count": 3,
        "tcp_user_timeout": f"{round(2000 * silence)}ms",
        "password_encryption": "scram-sha-256",
        "update_process_title": "on",
        "log_line_prefix": "%m [%p] %q%u@%h %a ",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }


def _replication(server: Server) -> dict[str, object]:
    silence = server.profile.addp_timeout
    upstream = {
        "host": server.peer_address,
        "port": server.peer_port,
        "user": REPLICATOR,
        "password": REPLICATOR,
        "application_name": server.region,
        "connect_timeout": max(2, math.ceil(silence)),  # libpq knows no shorter one than 2
        "keepalives_idle": max(1, math.ceil(silence)),
        "keepalives_interval": max(1, math.ceil(silence / 2)),
        "tcp_user_timeout": round(2000 * silence),
        "sslmode": "disable",
        "gssencmode": "disable",
    }
    names = synchronous_standby_names([server.peer, *server.further] if server.synchronous else [])
    return {
        "hot_standby": "on",
        "max_replication_slots": 6,
        "wal_keep_size": "16MB",
        "min_wal_size": "2MB",
        "max_wal_size": "32MB",
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "synchronous_standby_names": names,
        "primary_conninfo": " ".join(f"{k}={v}" for k, v in upstream.items()),
        "primary_slot_name": slot_name(server.region),
        "wal_sender_timeout": f"{round(3000 * silence)}ms",
        "wal_receiver_timeout": f"{round(3000 * silence)}ms",
        "wal_receiver_status_interval": "1s",
        "wal_retrieve_retry_interval": "50ms" if silence <= 1 else "5s",
    }


def _small_footprint() -> dict[str, object]:
    """Small memory, few processes, no POSIX shared memory that a kill would leave behind."""
    return {
        "shared_buffers": "2MB",
        "wal_buffers": "256kB",
        "dynamic_shared_memory_type": "mmap",
        "huge_pages": "off",
        "jit": "off",
        "max_parallel_workers": 0,
        "max_parallel_workers_per_gather": 0,
        "max_logical_replication_workers": 0,
        "autovacuum_max_workers": 1,
        "logging_collector": "off",
    }


def _of_major(major: int) -> dict[str, object]:
    values: dict[str, object] = {}
    if major >= 16:
        values["reserved_connections"] = 5  # for the observer, see the roles script
    if major >= 18:
        values["io_method"] = "sync"
        values["autovacuum_worker_slots"] = 1
    return values


def quoted(value: object) -> str:
    """A value as it stands in a configuration file."""
    return "'" + str(value).replace("'", "''") + "'"

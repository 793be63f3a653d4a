"""What kills, freezes and lists of hosts do, which are often taken for more than they are."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from drharness.components.store import Change
from drharness.dbms import server
from drharness.dbms.session import until
from tests.dbms.conftest import Provision
from tests.dbms.running import Pair, Running, free_port, run
from tests.facts.measuring import (
    caught_up,
    opened,
    program,
    settle,
    start_write,
    write,
)


def test_a_frozen_primary_goes_on_writing_after_another_was_promoted(async_pair: Pair) -> None:
    """Only a fence stops it: both acknowledge, each in an epoch of its own."""
    former, promoted = async_pair.primary, async_pair.standby

    async def work() -> None:
        async with opened(former, response_timeout="20") as store:
            before = await store.apply(Change("write", "app/1", 1, "o1"))
            await caught_up(former, promoted)
            former.signal_all(signal.SIGSTOP)
            task = start_write(store, "app/2")
            await server.promote(token="e2", home=promoted.home)
            former.signal_all(signal.SIGCONT)
            late = await task
        assert (late.epoch, late.seq, late.notices) == (before.epoch, 2, ())
        assert (await write(promoted, "app/3")).epoch == "e2"

    run(work())


def test_a_list_of_hosts_is_no_fence(async_pair: Pair) -> None:
    """Of two writable servers the first listed is taken; one that hangs only costs its timeout."""
    former, promoted = async_pair.primary, async_pair.standby
    run(server.promote(token="e2", home=promoted.home))
    ports = [str(it.settings.port) for it in (former, promoted)]
    assert connected_port(ports) == ports[0]
    assert connected_port(ports[::-1]) == ports[1]
    former.signal_all(signal.SIGSTOP)
    assert connected_port(ports) == ports[1]
    former.signal_all(signal.SIGCONT)


def connected_port(ports: list[str]) -> str:
    """The port of the server that libpq chooses, asked for one that takes writes."""
    where = (
        f"host=127.0.0.1,127.0.0.1 port={','.join(ports)} dbname=config user=configserver"
        " target_session_attrs=read-write connect_timeout=2"
    )
    return program("psql", "-Atc", "SHOW port", where).stdout.strip()


def test_a_killed_server_leaves_locks_behind_that_are_cleaned_before_a_start(
    primary: Running,
) -> None:
    """Until its parent has reaped it, even its process id is taken."""
    pid = primary.process.pid
    children = primary.processes()[1:]
    os.kill(pid, signal.SIGKILL)
    assert os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    lock = Path(primary.home, f".s.PGSQL.{primary.settings.port}.lock")
    assert lock.read_text().split()[0] == str(pid)
    again = program("postgres", "-D", f"{primary.home}/data", check=False)
    assert (again.returncode, "lock file" in again.output) == (1, True), again.output
    primary.process.wait(20)

    async def gone() -> bool:
        return not any(Path(f"/proc/{child}").exists() for child in children)

    run(until(gone, "the killed server's children gone", timeout=10))
    primary.start()
    primary.accepting()


def test_a_kill_loses_nothing_even_of_what_was_never_flushed(provision: Provision) -> None:
    """The page cache is the kernel's: a killed server is no power failure."""
    running = provision("region1", "primary", port=free_port())
    settle(running, fsync="off", full_page_writes="off")
    running.start()
    running.accepting()
    run(write(running, "app/1"))
    running.kill()
    running.start()
    running.accepting()
    assert run(server.dump(home=running.home))["ops"] == {"app/1": 1}

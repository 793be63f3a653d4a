"""A server's life: start, status, slots, shutdown, what a kill leaves behind."""

from __future__ import annotations

import pytest

from drharness.components.store import Change
from drharness.dbms import server
from drharness.dbms.place import Place
from drharness.errors import StartupFailed, UsageError
from tests.dbms.conftest import Provision
from tests.dbms.running import Pair, Running, free_port, run


def test_a_fresh_primary_reports_itself_writable(primary: Running) -> None:
    seen = run(server.status(home=primary.home))
    assert (seen["accepting"], seen["in_recovery"], seen["writable"]) == (True, False, True)
    assert (seen["tli"], seen["seq"], seen["epoch"], seen["slots"]) == (1, 0, None, [])
    assert seen["recv"] is seen["replay"] is None
    assert seen["cur"].startswith("0/")
    assert seen["sysid"].isdigit()


def test_a_standby_reports_what_it_received(sync_pair: Pair) -> None:
    seen = run(server.status(home=sync_pair.standby.home))
    above = run(server.status(home=sync_pair.primary.home))
    assert (seen["in_recovery"], seen["writable"], seen["cur"]) == (True, False, None)
    assert seen["recv"].startswith("0/")
    assert seen["replay"].startswith("0/")
    assert seen["sysid"] == above["sysid"]
    assert above["senders"] == [["region2", "127.0.0.1", "sync"]]
    assert [slot[:2] for slot in above["slots"]] == [["region2", True]]
    assert above["sync_names"] == 'FIRST 1 ("region2")'


def test_sessions_of_configuration_servers_are_listed(primary: Running) -> None:
    async def look() -> list[list[str]]:
        store = primary.store()
        await store.open()
        sessions: list[list[str]] = (await server.status(home=primary.home))["sessions"]
        await store.close()
        return sessions

    assert run(look()) == [["configserver", "127.0.0.1"]]


def test_a_stopped_server_is_not_accepting(primary: Running) -> None:
    primary.stop()
    seen = run(server.status(home=primary.home))
    assert (seen["accepting"], seen["writable"]) == (False, None)
    assert "No such file" in seen["error"]
    assert run(server.stop(home=primary.home)) == {"stopped": False}


def test_a_killed_server_starts_again_over_its_stale_locks(primary: Running) -> None:
    async def write() -> None:
        store = primary.store()
        await store.open()
        await store.apply(Change("write", "app/1", 1, "o1"))
        await store.close()

    run(write())
    primary.kill()
    primary.start()
    assert primary.accepting()["seq"] == 1


def test_locks_of_a_running_server_are_left_alone(primary: Running) -> None:
    with pytest.raises(StartupFailed, match="a server is running on it"):
        server.clean_stale_locks(home=primary.home)


def test_a_lock_file_that_names_a_stranger_is_stale(provision: Provision) -> None:
    running = provision("region1", "primary", port=free_port())
    Place(running.home).write("data/postmaster.pid", "1\n")
    assert server.clean_stale_locks(home=running.home) == [f"{running.home}/data/postmaster.pid"]


def test_provisioning_twice_is_refused(primary: Running, template_directory: str) -> None:
    with pytest.raises(UsageError, match="exists already"):
        server.provision_as(primary.settings, template_directory, role="primary", home=primary.home)


def test_a_slot_is_made_once_and_dropped_once(primary: Running) -> None:
    name = "region2"
    made = [run(server.create_slot(name=name, home=primary.home))["created"] for _ in range(2)]
    gone = [run(server.drop_slot(name=name, home=primary.home))["dropped"] for _ in range(2)]
    assert (made, gone) == ([True, False], [True, False])


def test_calls_on_a_vm_without_a_database_say_so(tmp_path: object) -> None:
    with pytest.raises(StartupFailed, match="no database was provisioned"):
        server.command(home=str(tmp_path))

"""What a synchronous commit promises, who can break the promise, and what the harness makes of it.

Measured on real servers; a value that differs between majors is a table by major.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from psycopg.errors import TransactionTimeout

from drharness.components.link import Refused
from drharness.components.master import acknowledgement
from drharness.components.messages import Error
from drharness.components.operations import refusal
from drharness.components.store import Indeterminate
from drharness.dbms import server
from drharness.dbms.session import DeadlinePassed
from tests.dbms.conftest import Provision
from tests.dbms.running import Pair, run
from tests.facts.measuring import (
    ask,
    idle_pair,
    of_this_major,
    opened,
    start_write,
    superuser,
    value,
    waiting_commits,
    write,
)

WARNING = "canceling wait for synchronous replication due to user request"
WARNING_OF_END = (
    "canceling the wait for synchronous replication and terminating connection"
    " due to administrator command"
)


def test_a_cancelled_wait_reports_success_and_is_not_counted_as_one(sync_pair: Pair) -> None:
    """The tag is that of a commit; only the warning beside it says that no standby has the row."""
    sync_pair.standby.kill()

    async def work() -> None:
        async with opened(sync_pair.primary) as store:
            task = start_write(store, "app/1")
            (pid,) = await waiting_commits(sync_pair.primary)
            await ask(sync_pair.primary, "SELECT pg_cancel_backend(%s)", pid)
            commit = await task
            assert list(commit.notices) == [WARNING]
            told = acknowledgement(commit)
            assert isinstance(told, Error)
            assert refusal(Refused(told)).type == "info"

    run(work())
    assert run(server.dump(home=sync_pair.primary.home))["ops"] == {"app/1": 1}


def test_an_ended_session_leaves_its_waiting_commit_visible_and_open(sync_pair: Pair) -> None:
    sync_pair.standby.kill()

    async def work() -> None:
        async with opened(sync_pair.primary) as store:
            task = start_write(store, "app/1")
            (pid,) = await waiting_commits(sync_pair.primary)
            await ask(sync_pair.primary, "SELECT pg_terminate_backend(%s)", pid)
            with pytest.raises(Indeterminate) as caught:
                await task
            assert WARNING_OF_END in caught.value.notices

    run(work())
    assert run(server.status(home=sync_pair.primary.home))["seq"] == 1


def test_what_a_cancelled_wait_left_is_gone_after_promotion(sync_pair: Pair) -> None:
    run(write(sync_pair.primary, "app/kept"))
    sync_pair.standby.kill()

    async def work() -> None:
        async with opened(sync_pair.primary) as store:
            task = start_write(store, "app/cancelled")
            (pid,) = await waiting_commits(sync_pair.primary)
            await ask(sync_pair.primary, "SELECT pg_cancel_backend(%s)", pid)
            await task

    run(work())
    sync_pair.primary.kill()
    sync_pair.standby.start()
    sync_pair.standby.accepting()
    run(server.promote(token="e2", home=sync_pair.standby.home))
    assert run(server.dump(home=sync_pair.standby.home))["objects"] == {"app/kept": 1}


def test_a_crash_restart_shows_waiting_commits_that_no_standby_has(sync_pair: Pair) -> None:
    """So an effect may surface that nobody was ever told of: its operation stays ``info``."""
    sync_pair.standby.kill()

    async def work() -> None:
        async with opened(sync_pair.primary) as store:
            task = start_write(store, "app/1")
            (pid,) = await waiting_commits(sync_pair.primary)
            assert await value(sync_pair.primary, "SELECT seq FROM cfg_commit") == 0
            os.kill(pid, signal.SIGKILL)  # the server restarts by itself
            with pytest.raises(Indeterminate):
                await task

    run(work())
    sync_pair.primary.accepting()
    assert run(server.dump(home=sync_pair.primary.home))["ops"] == {"app/1": 1}


def test_a_statement_timeout_ends_no_synchronous_wait(sync_pair: Pair) -> None:
    """Only a deadline of the client's own does; the commit goes on waiting, its outcome is open."""

    async def work() -> None:
        await ask(sync_pair.primary, "ALTER ROLE configserver SET statement_timeout = '50ms'")
        sync_pair.standby.kill()
        with pytest.raises(Indeterminate, match=r"not within 0\.6 s"):
            await write(sync_pair.primary, "app/1", response_timeout="0.6")
        await waiting_commits(sync_pair.primary)
        assert await value(sync_pair.primary, "SELECT seq FROM cfg_commit") == 0

    run(work())


# Whether there is a transaction_timeout (new in 17) and it ends the wait; measured on 15 to 18.
TRANSACTION_TIMEOUT_ENDS_THE_WAIT = {15: None, 17: False}


def test_a_transaction_timeout_ends_no_synchronous_wait(sync_pair: Pair) -> None:
    sync_pair.standby.kill()
    make_wait = "INSERT INTO cfg_hdb_session (session, client, seq) VALUES ('s', 'c', 1)"

    async def work() -> None:
        known = "SELECT count(*) FROM pg_settings WHERE name = 'transaction_timeout'"
        if not await value(sync_pair.primary, known):
            assert of_this_major(TRANSACTION_TIMEOUT_ENDS_THE_WAIT) is None
            return
        async with superuser(sync_pair.primary) as session:
            await session.fetch("SET transaction_timeout = '50ms'", limit=5)
            with pytest.raises(TransactionTimeout):  # otherwise it works
                await session.fetch("SELECT pg_sleep(5)", limit=6)
        async with superuser(sync_pair.primary) as session:
            await session.fetch("SET transaction_timeout = '50ms'", limit=5)
            with pytest.raises(DeadlinePassed):
                await session.fetch(make_wait, limit=0.6)
        await waiting_commits(sync_pair.primary)
        assert of_this_major(TRANSACTION_TIMEOUT_ENDS_THE_WAIT) is False

    run(work())


@pytest.mark.parametrize("scope", ["ROLE configserver", "DATABASE config"])
def test_a_role_or_database_may_opt_out_of_waiting_unseen_by_show(
    sync_pair: Pair, scope: str
) -> None:
    """A server says that it waits, and does not: pg_db_role_setting has to be read as well."""
    named = "SELECT setconfig FROM pg_db_role_setting"

    async def work() -> None:
        async with superuser(sync_pair.primary) as before:
            await ask(sync_pair.primary, f"ALTER {scope} SET synchronous_commit = local")
            sync_pair.standby.kill()
            commit = await write(sync_pair.primary, "app/1", response_timeout="2")
            assert (commit.seq, commit.notices) == (1, ())
            (shown,) = await before.fetch("SHOW synchronous_commit", limit=5)
            assert shown == {"synchronous_commit": "on"}
        assert await value(sync_pair.primary, named) == ["synchronous_commit=local"]
        assert (await server.status(home=sync_pair.primary.home))["sync_names"]

    run(work())


def test_two_servers_may_stream_with_different_rows(provision: Provision) -> None:
    """What replication reports is a state, not a content; only the digests tell."""
    pair = differing_pair(provision)
    assert pair.streaming()["state"] == "streaming"
    run(write(pair.primary, "app/after"))  # and goes on, as if nothing were wrong
    above = run(server.quiesced(home=pair.primary.home))
    run(server.quiesced(lsn=above["cur"], home=pair.standby.home))
    status = [run(server.status(home=it.home)) for it in (pair.primary, pair.standby)]
    assert [(it["sysid"], it["tli"], it["seq"]) for it in status] == [
        (status[0]["sysid"], 1, 2)
    ] * 2
    digests = [run(server.digest(home=it.home)) for it in (pair.primary, pair.standby)]
    assert digests[0]["seq"] == digests[1]["seq"]
    assert digests[0]["sha"] != digests[1]["sha"]


def differing_pair(provision: Provision) -> Pair:
    """A standby that was a primary for one write, while the primary made one of equal length."""
    pair = idle_pair(provision)
    (signal_file := Path(pair.standby.home, "data/standby.signal")).unlink()
    for running, key in ((pair.primary, "app/one"), (pair.standby, "app/two")):
        running.start()
        running.accepting()
        run(server.create_slot(name="region2", home=running.home))
        run(write(running, key))
    pair.standby.kill()
    signal_file.touch()
    pair.standby.start()
    pair.standby.accepting()
    return pair

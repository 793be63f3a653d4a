"""What a Configuration Server does while it is primary: it serves links and commits changes.

One job at a time uses the database session, so a page of the history log and the subscription that
follows it fall between two commits. A change is committed, then told to every subscribed link, then
acknowledged: on one link the event always comes before the acknowledgement.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from drharness.components import wire
from drharness.components.cache import Cache, common_prefix
from drharness.components.environment import Environment
from drharness.components.messages import (
    AllRead,
    AnyBody,
    ChangeConfig,
    Changed,
    Error,
    Event,
    HistoryLog,
    HistoryLogSent,
    ObjectList,
    Read,
    ReadAll,
    Register,
    Registered,
    RestoreSession,
    SessionRestored,
    Value,
)
from drharness.components.store import (
    Commit,
    Indeterminate,
    NotDone,
    ReadOnly,
    Rejected,
    Snapshot,
    Store,
    StoreError,
    Unavailable,
)

PAGE = 1000  # objects in one line
Answer = TypeVar("Answer")


class SessionOver(Exception):
    """The database session can no longer be trusted; the text says why."""


@dataclass
class Client:
    """A logged-in link."""

    name: str
    session: str
    subscribed: bool = False


@dataclass(frozen=True)
class Job:
    """A request that needs the database; ``since`` is when it came (loop time)."""

    link: wire.Link
    number: int
    body: ChangeConfig | RestoreSession | HistoryLog
    since: float


class Master(wire.Quiet):
    """One spell of being primary, from the loaded snapshot to the loss of the session.

    :ivar cache: everything that was committed
    :ivar clients: logged-in links
    """

    def __init__(
        self, env: Environment, store: Store, snapshot: Snapshot, *, peer: str, page: int
    ) -> None:
        self.env, self.store, self.peer, self.page = env, store, peer, page
        self.cache = Cache.of_snapshot(snapshot)
        self.clients: dict[wire.Link, Client] = {}
        self._jobs: deque[Job] = deque()
        self._wake = asyncio.Event()
        self._unsaved: dict[str, str] = {}
        self._loop = asyncio.get_running_loop()

    # -- links -----------------------------------------------------------------------------

    def request(self, link: wire.Link, number: int, body: AnyBody) -> None:
        """Answer at once from memory, or queue for the database."""
        match body:
            case Register():
                # the random stream starts again with the component: the place tells spells apart
                place = f"{self.cache.epoch}-{self.cache.seq}"
                session = f"{place}-{self.env.rng.getrandbits(48):012x}"
                self.clients[link] = Client(body.client, session, body.subscribe)
                self._save_later(session, body.client)
                link.reply(number, self._registered(session))
            case Read():
                link.reply(number, read(self.cache, body.key))
            case ReadAll():
                self._read_all(link, number)
            case ChangeConfig() | RestoreSession() | HistoryLog():
                self._jobs.append(Job(link, number, body, self._loop.time()))
                self._wake.set()
            case _:
                link.reply(number, wire.unsupported(body))

    def lost(self, link: wire.Link, reason: str) -> None:
        """A client has gone."""
        client = self.clients.pop(link, None)
        if client is not None:
            self.env.log(f"client {client.name} at {link.remote} gone: {reason}")

    def _registered(self, session: str) -> Registered:
        at = self.cache
        return Registered(session, self.env.component, at.epoch, at.seq, backup=self.peer)

    def _read_all(self, link: wire.Link, number: int) -> None:
        everything = [(k, d, v) for k, (d, v) in self.cache.objects.items()]
        for start in range(0, len(everything), PAGE):
            link.notify(ObjectList(everything[start : start + PAGE]))
        at = self.cache
        link.reply(number, AllRead(at.epoch, at.seq, list(at.epochs), len(everything)))
        if link in self.clients:
            self.clients[link].subscribed = True

    # -- the database ----------------------------------------------------------------------

    async def run(self) -> None:
        """Do the jobs, and prove between them that the session lives.

        :raises SessionOver: it does not
        """
        profile = self.env.profile
        interval = profile.addp_timeout / 2
        watch = asyncio.create_task(self._watch())
        ping_at = self._loop.time() + interval
        save_at = 0.0
        try:
            while True:
                if self.store.lost.is_set():
                    raise SessionOver("the database session is lost")
                if self._unsaved and self._loop.time() >= save_at:
                    await self._save_sessions()
                    save_at = self._loop.time() + profile.sampling
                if self._loop.time() >= ping_at:
                    await self._proven(self.store.ping())
                    ping_at = self._loop.time() + interval
                if await self._next(min(ping_at, save_at) if self._unsaved else ping_at):
                    await self._do(self._jobs.popleft())
                    ping_at = self._loop.time() + interval
        finally:
            watch.cancel()
            self._refuse_rest()

    async def _watch(self) -> None:
        await self.store.lost.wait()
        self._wake.set()

    async def _next(self, until: float) -> bool:
        """Wait for a job, the loss of the session or the next ping; whether there is a job."""
        if not self._jobs:
            self._wake.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._wake.wait()
            except TimeoutError:
                return False
        return bool(self._jobs) and not self.store.lost.is_set()

    async def _proven(self, asked: Awaitable[Answer]) -> Answer:
        """The database's answer; none, or an error, means that the session is over."""
        try:
            async with asyncio.timeout(self.env.profile.addp_timeout):
                return await asked
        except TimeoutError:
            raise SessionOver("no answer from the database") from None
        except StoreError as error:
            raise SessionOver(f"the database session is lost: {error}") from error

    def _save_later(self, session: str, client: str) -> None:
        self._unsaved[session] = client
        self._wake.set()

    async def _save_sessions(self) -> None:
        saved, self._unsaved = self._unsaved, {}
        for session, client in saved.items():
            await self._proven(self.store.save_session(session, client, self.cache.seq))

    async def _do(self, job: Job) -> None:
        waited = self._loop.time() - job.since
        if waited > self.env.profile.op_deadline:
            text = f"waited {waited:.1f} s for the database, not done"
            job.link.reply(job.number, Error("unavailable", "DBResponseTimedOut", text))
            return
        match job.body:
            case ChangeConfig():
                await self._change(job, job.body)
            case RestoreSession():
                await self._restore(job, job.body)
            case HistoryLog():
                await self._history(job, job.body)

    async def _change(self, job: Job, body: ChangeConfig) -> None:
        try:
            # the store has a deadline of its own; this only bounds a store that does not keep it
            async with asyncio.timeout(2 * self.env.profile.op_deadline):
                commit = await self.store.apply(body.change())
        except TimeoutError:
            text = "no answer from the database"
            job.link.reply(job.number, Error("unknown", "DBResponseTimedOut", text))
            raise SessionOver(text) from None
        except StoreError as error:
            job.link.reply(job.number, as_error(error, self.cache.epoch))
            if isinstance(error, Rejected | NotDone):
                return
            raise SessionOver(f"{type(error).__name__}: {error}") from error
        self._record(commit)
        if commit.seq <= self.cache.seq:  # this operation id was committed before
            job.link.reply(job.number, acknowledgement(commit))
            return
        if commit.seq != self.cache.seq + 1:
            text = f"commit {commit.seq} after {self.cache.seq}: another writer"
            job.link.reply(job.number, Error("unknown", "DBError", text))
            raise SessionOver(text)
        self._tell(Event.of(commit, prev=self.cache.seq))
        job.link.reply(job.number, acknowledgement(commit))

    def _record(self, commit: Commit) -> None:
        """Evidence that the database committed it, on disk before anybody is told."""
        self.env.record(
            "ack",
            server=self.env.component,
            opid=commit.change.opid,
            epoch=commit.epoch,
            seq=commit.seq,
            dbid=commit.dbid,
            sure=not commit.notices,
            again=commit.seq <= self.cache.seq,
        )

    def _tell(self, event: Event) -> None:
        self.cache.apply(event)
        line = wire.encode_note(event)
        for link, client in list(self.clients.items()):
            if client.subscribed:
                link.send_line(line)

    async def _restore(self, job: Job, body: RestoreSession) -> None:
        at = self.cache
        proven = common_prefix(at.epochs, current_seq=at.seq, epoch=body.epoch, last=body.last)
        if proven and await self._known(body.session):
            self.clients[job.link] = Client(body.client, body.session)
            self._save_later(body.session, body.client)
            answer = SessionRestored(body.session, self.env.component, at.epoch, at.seq)
            job.link.reply(job.number, answer)
            return
        text = f"{body.client} at {body.epoch or 'no epoch'}/{body.last}, here {at.epoch}/{at.seq}"
        job.link.reply(job.number, expired(text))
        self.env.log(f"session not restored: {text}")

    async def _known(self, session: str) -> bool:
        if session in self._unsaved:
            return True
        return await self._proven(self.store.session(session)) is not None

    async def _history(self, job: Job, body: HistoryLog) -> None:
        commits = await self._proven(self.store.history(body.last, self.page))
        events: list[Event] = []
        prev = body.last
        for commit in commits:
            if commit.seq != prev + 1:
                break
            events.append(Event.of(commit, prev=prev, history=True))
            prev = commit.seq
        more = prev < self.cache.seq
        if (more and not events) or job.link not in self.clients:
            job.link.reply(job.number, expired(f"nothing after {prev}, here {self.cache.seq}"))
            return
        self.clients[job.link].subscribed |= not more
        page = HistoryLogSent(events, more, self.cache.epoch, list(self.cache.epochs))
        job.link.reply(job.number, page)

    def _refuse_rest(self) -> None:
        """What never reached the database was certainly not done."""
        while self._jobs:
            job = self._jobs.popleft()
            text = "the database session was lost before the request was sent"
            job.link.reply(job.number, Error("unavailable", "NoDBAccess", text))


def read(cache: Cache, key: str) -> Value:
    """The master's answer to a read."""
    found = cache.objects.get(key)
    if found is None:
        return Value(key, found=False, epoch=cache.epoch, seq=cache.seq, mode="normal")
    dbid, val = found
    return Value(
        key, found=True, epoch=cache.epoch, seq=cache.seq, mode="normal", val=val, dbid=dbid
    )


def acknowledgement(commit: Commit) -> Changed | Error:
    """``Changed``; or ``unknown`` if the database warned that the standby may lack the change."""
    if commit.notices:
        return Error("unknown", "DBError", "not replicated in time", notices=list(commit.notices))
    return Changed(commit.epoch, commit.seq, commit.val, commit.dbid, list(commit.lsn))


def expired(text: str) -> Error:
    """The client's data is no proven prefix: it has to read everything again."""
    return Error("rejected", "HistoryLogExpired", text)


def as_error(error: StoreError, epoch: str) -> Error:
    """The refusal of a database of an epoch, as the protocol tells it."""
    kinds: tuple[tuple[type[StoreError], str, str], ...] = (
        (Rejected, "rejected", "UniquenessViolation"),
        (NotDone, "unavailable", "DBError"),
        (ReadOnly, "readonly", "DBError"),
        (Unavailable, "unavailable", "NoDBAccess"),
        (Indeterminate, "unknown", "DBResponseTimedOut"),
    )
    cls, name = next(((c, n) for kind, c, n in kinds if isinstance(error, kind)), ("unknown", ""))
    notices = list(error.notices) if isinstance(error, Indeterminate) else []
    decided = epoch if isinstance(error, Rejected) else ""
    return Error(cls, name, str(error), error.sqlstate, notices, decided)

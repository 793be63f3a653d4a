"""Every message of the link protocol as a tagged struct: frames outside, bodies inside. Pure.

A line on a link is one frame; ``req``, ``rep`` and ``note`` carry a body. docs/protocol.md explains
each of them; a line that fits none of these shapes closes the link.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from drharness.components.store import Change, Commit

Mode = Literal["primary", "backup"]
ServiceMode = Literal["normal", "limited", "starting"]
WriteFunction = Literal["create", "write", "append", "cas", "delete"]


class Body(msgspec.Struct, tag_field="t", tag=True, omit_defaults=True):
    """Base of all bodies: the tag is the class name."""


class Error(Body):
    """A request was not done, or its outcome is unknown.

    :ivar cls: limited, refused, readonly, rejected, backup, unavailable (certainly not done) or
        unknown (perhaps done)
    :ivar name: the product's error name, ``ServerNotPrimary``
    :ivar epoch: of a change that the database rejected: its epoch
    """

    cls: str
    name: str = ""
    text: str = ""
    sqlstate: str = ""
    notices: list[str] = []
    epoch: str = ""


class EpochLine(msgspec.Struct):
    """A line of the epoch table: commits of ``token`` have ``seq >= first_seq``."""

    token: str
    first_seq: int


class Register(Body):
    """Log in; ``subscribe``: also get an ``Event`` for every later change."""

    client: str
    subscribe: bool = False


class Registered(Body):
    """Logged in at ``server``; epoch and seq are the place of what it serves."""

    session: str
    server: str
    epoch: str
    seq: int
    backup: str = ""
    mode: ServiceMode = "normal"


class RestoreSession(Body):
    """Log in again and keep what was read: up to ``last`` in ``epoch``."""

    client: str
    session: str
    epoch: str
    last: int


class SessionRestored(Body):
    """The client's data is a prefix of the server's; ``HistoryLog`` brings the rest."""

    session: str
    server: str
    epoch: str
    seq: int


class HistoryLog(Body):
    """Ask for the changes after ``last``."""

    last: int


class Event(Body):
    """One committed change; ``prev`` is the seq it follows, ``val`` the object's value after it."""

    prev: int
    seq: int
    epoch: str
    f: WriteFunction
    key: str
    val: Any = None
    dbid: int = 0
    opid: str = ""
    history: bool = False

    @classmethod
    def of(cls, commit: Commit, *, prev: int, history: bool = False) -> Event:
        """The event that tells of ``commit``."""
        c = commit.change
        f: Any = c.f
        return cls(
            prev=prev,
            seq=commit.seq,
            epoch=commit.epoch,
            f=f,
            key=c.key,
            val=commit.val,
            dbid=commit.dbid,
            opid=c.opid,
            history=history,
        )


class HistoryLogSent(Body):
    """A page of the history log; the last one (``more`` false) also subscribes the link."""

    events: list[Event]
    more: bool
    epoch: str
    epochs: list[EpochLine]


class ReadAll(Body):
    """Ask for every object; subscribes the link at the same point."""


class ObjectList(Body):
    """Some of the objects, as (key, dbid, value); sent before ``AllRead``."""

    objects: list[tuple[str, int, Any]]


class AllRead(Body):
    """Every object was sent: the state at (epoch, seq)."""

    epoch: str
    seq: int
    epochs: list[EpochLine]
    count: int


class Read(Body):
    """Read one object."""

    key: str


class Value(Body):
    """An object (``found`` false: there is none), and the place of what it was read from."""

    key: str
    found: bool
    epoch: str
    seq: int
    mode: ServiceMode
    val: Any = None
    dbid: int = 0


class ChangeConfig(Body):
    """Change one object; ``expected`` is for ``cas``."""

    f: WriteFunction
    key: str
    val: Any = None
    expected: Any = None
    opid: str = ""

    def change(self) -> Change:
        """The same for the database."""
        return Change(self.f, self.key, self.val, self.opid, self.expected)


class Changed(Body):
    """Committed, and applied to what the answering server serves."""

    epoch: str
    seq: int
    val: Any = None
    dbid: int = 0
    lsn: list[str] = []


class EpochChanged(Body):
    """From now on a server serves another epoch; ``reloaded``: what was read before may be gone."""

    epoch: str
    seq: int
    reloaded: bool = False


class ModeChanged(Body):
    """A proxy entered or left limited mode."""

    mode: ServiceMode


class RegisterApplication(Body):
    """An application reports to its VM's Local Control Agent."""

    name: str
    pid: int
    status: str
    mode: Mode


class ApplicationRegistered(Body):
    """The agent knows the application now; ``ChangeExecutionMode`` follows."""


class UpdateStatus(Body):
    """An application's status (Initializing, Running, ServiceUnavailable), mode and role."""

    status: str
    mode: Mode
    role: str


class ChangeExecutionMode(Body):
    """The agent tells an application to be primary or backup."""

    mode: Mode


class ExecutionModeChanged(Body):
    """The application has taken the mode."""

    mode: Mode


class StartApplication(Body):
    """Start a stopped application."""

    name: str


class StopApplication(Body):
    """Stop an application and leave it stopped, also after a reboot."""

    name: str


class SetMode(Body):
    """Remember an application's execution mode and tell it."""

    name: str
    mode: Mode


class GetStatus(Body):
    """Ask any component what it is doing."""


class Dump(Body):
    """Ask a component for everything it holds."""


class Answer(Body):
    """Plain values in answer to a management request."""

    values: dict[str, Any]


MOST_OPENING = 100  # writes that an application starts faster than it goes on, at most


class StartTraffic(Body):
    """Start the workload: ``writes_per_s`` of this application, ``reads_per_write`` beside each.

    The first ``opening`` writes come faster, so that a run has soon something to lose.
    """

    writes_per_s: float
    reads_per_write: int = 2
    workers: int = 4
    opening: int = 0
    run: str = ""


class StopTraffic(Body):
    """Stop the workload; the answer comes when no operation is under way."""


class Op(Body):
    """One operation now, recorded as one; ``deadline`` in seconds, 0 for the profile's."""

    f: Literal["create", "write", "append", "cas", "delete", "read"]
    key: str
    val: Any = None
    expected: Any = None
    deadline: float = 0.0


AnyBody = (
    Error
    | Register
    | Registered
    | RestoreSession
    | SessionRestored
    | HistoryLog
    | Event
    | HistoryLogSent
    | ReadAll
    | ObjectList
    | AllRead
    | Read
    | Value
    | ChangeConfig
    | Changed
    | EpochChanged
    | ModeChanged
    | RegisterApplication
    | ApplicationRegistered
    | UpdateStatus
    | ChangeExecutionMode
    | ExecutionModeChanged
    | StartApplication
    | StopApplication
    | SetMode
    | GetStatus
    | Dump
    | Answer
    | StartTraffic
    | StopTraffic
    | Op
)


class Hello(msgspec.Struct, tag="hello", tag_field="t"):
    """First line of a client: who it is, and the timeout the server shall use (s, 0 off)."""

    name: str
    addp: float = 0.0


class Ping(msgspec.Struct, tag="ping", tag_field="t"):
    """Keep-alive poll."""


class Pong(msgspec.Struct, tag="pong", tag_field="t"):
    """Answer to a poll."""


class Request(msgspec.Struct, tag="req", tag_field="t"):
    """A request; ``id`` is the sender's."""

    id: int
    body: AnyBody


class Reply(msgspec.Struct, tag="rep", tag_field="t"):
    """The one answer to the request of that ``id``."""

    id: int
    body: AnyBody


class Note(msgspec.Struct, tag="note", tag_field="t"):
    """A message that expects no answer."""

    body: AnyBody


Frame = Hello | Ping | Pong | Request | Reply | Note

"""What a caching resolver remembers, and for how long. Pure but for the clock handed in.

Time counts from the moment the question was sent, so nothing is kept longer than the authority
allowed. :class:`Policy` is the one place that decides how long; one that floors or caps TTLs,
keeps answers for ever or serves stale ones can be put in its place at any time.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drharness.dns import codec, names, rdata
from drharness.kernel import validate

MAX_ENTRIES = 10_000
MAX_TTL = 2**31 - 1  # RFC 2181, section 8: about 68 years
STALE_TTL = 30  # what RFC 8767, section 4, recommends for a stale answer
POLICIES = ("cap", "floor", "forever", "honour", "serve-stale")
_FIXED = struct.Struct("!HHIH")
_LONG = struct.Struct("!I")

Key = tuple[bytes, int]
"""(name in wire form and lower case, type)."""


@dataclass(frozen=True)
class Answer:
    """A reply taken apart so that it can be given again.

    :ivar body: answer and authority section as they came (names in it point into the question)
    :ivar counts: records in either section
    :ivar ttls: (offset in ``body``, seconds) of every record
    :ivar ttl: seconds to keep it: the smallest of the answer, or the negative TTL; 0: not at all
    """

    rcode: int
    body: bytes
    counts: tuple[int, int]
    ttls: tuple[tuple[int, int], ...]
    ttl: int

    @property
    def negative(self) -> bool:
        """No such name, or no such data."""
        return self.rcode == 3 or (self.rcode == 0 and not self.counts[0])

    @property
    def usable(self) -> bool:
        """Says something of the name; what is no answer is never kept."""
        return self.rcode in (0, 3)


@dataclass(frozen=True)
class Policy:
    """How long a resolver keeps what it was told, and what it then says of it.

    :ivar how: ``honour``: exactly as long as the authority says; ``floor``: at least, ``cap``: at
        most ``seconds``; ``forever``; ``serve-stale``: as ``honour``, but while upstream gives no
        answer, answers that ended at most ``seconds`` ago are given again (RFC 8767)
    """

    how: str = "honour"
    seconds: float = 0.0

    def keep(self, answer: Answer) -> float:
        """Seconds; 0: not at all."""
        if not answer.usable:
            return 0.0
        if self.how == "forever":
            return MAX_TTL
        if self.how == "floor":
            return max(answer.ttl, self.seconds)
        return min(answer.ttl, self.seconds) if self.how == "cap" else answer.ttl

    @property
    def stale(self) -> float:
        """Seconds for which an answer that has ended may be given again."""
        return self.seconds if self.how == "serve-stale" else 0.0


def policy(how: str, seconds: float = 0.0) -> Policy:
    """The policy of that name.

    :raises UsageError: no such policy, or not a number of seconds that a TTL can be
    """
    validate.choice("how", how, POLICIES)
    return Policy(how, validate.number("seconds", seconds, low=0, high=MAX_TTL))


def read(reply: bytes) -> Answer:
    """Take a reply apart; its additional section is left out.

    :raises rdata.BadMessage: not a whole message
    """
    try:
        _, flags, questions, *counts = codec.HEADER.unpack_from(reply)
        start = codec.HEADER.size
        for _ in range(questions):
            start = _skip(reply, start) + 4
        at = start
        ttls, kept, negative = [], [], 0
        for index in range(counts[0] + counts[1]):
            at = _skip(reply, at)
            kind, _, ttl, length = _FIXED.unpack_from(reply, at)
            ttls.append((at + 4 - start, ttl))
            if index < counts[0]:
                kept.append(ttl)
            elif kind == rdata.SOA:
                minimum = _LONG.unpack_from(reply, at + _FIXED.size + length - 4)[0]
                negative = min(ttl, minimum)
            at += _FIXED.size + length
        if at > len(reply):
            raise IndexError("the last record is cut")
    except (IndexError, struct.error) as error:
        raise rdata.BadMessage(f"not a whole DNS message: {error}") from None
    rcode = flags & 0xF
    lives = {0: min(kept, default=negative), 3: negative}.get(rcode, 0)
    return Answer(rcode, reply[start:at], (counts[0], counts[1]), tuple(ttls), lives)


def _skip(message: bytes, at: int) -> int:
    while length := message[at]:
        if length & 0xC0:
            return at + 2
        at += length + 1
    return at + 1


@dataclass(frozen=True)
class Entry:
    """An answer in the cache: asked for at an instant of its clock, ``kept`` seconds from then."""

    answer: Answer
    asked: float
    kept: float

    @property
    def until(self) -> float:
        """The instant from which it counts no longer."""
        return self.asked + self.kept


class Cache:
    """Answers by question, bounded; forgets the oldest first."""

    def __init__(self, clock: Callable[[], float], policy: Policy) -> None:
        """:param clock: seconds, never going back"""
        self.clock, self.policy = clock, policy
        self._entries: dict[Key, Entry] = {}

    def follow(self, policy: Policy) -> None:
        """Decide by another policy, also about the answers that are kept now."""
        living = {key: entry for key in [*self._entries] if (entry := self.get(key))}
        self.policy, self._entries = policy, {}
        for key, entry in living.items():
            self.put(key, entry.answer, asked=entry.asked)

    def get(self, key: Key) -> Entry | None:
        """The entry for a question while it lasts."""
        entry = self._entries.get(key)
        if entry is None or self.clock() < entry.until:
            return entry
        if self.clock() >= entry.until + self.policy.stale:
            del self._entries[key]
        return None

    def get_stale(self, key: Key) -> Entry | None:
        """An entry that has ended, if the policy lets it be given again."""
        entry = self._entries.get(key)
        if entry is None or self.clock() >= entry.until + self.policy.stale:
            return None
        return entry

    def put(self, key: Key, answer: Answer, *, asked: float) -> None:
        """Keep an answer to a question that was sent at ``asked``, if the policy keeps it."""
        entry = Entry(answer, asked, self.policy.keep(answer))
        if not answer.usable or entry.until + self.policy.stale <= self.clock():
            return
        self._entries.pop(key, None)
        if len(self._entries) >= MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = entry

    def flush(self, name: bytes | None = None) -> int:
        """Forget everything, or one name's answers; how many were there."""
        gone = [k for k in self._entries if name is None or k[0] == name]
        living = sum(self.get(key) is not None for key in gone)
        for key in gone:
            self._entries.pop(key, None)
        return living

    def listing(self) -> list[dict[str, Any]]:
        """Living entries: ``[{"name", "type", "values", "ttl_left": s, "negative", "rcode"}]``."""
        now = self.clock()
        return [
            {
                "name": names.to_text(name),
                "type": rdata.type_name(qtype),
                "values": values((name, qtype), entry.answer),
                "ttl_left": round(entry.until - now, 3),
                "negative": entry.answer.negative,
                "rcode": rdata.rcode_name(entry.answer.rcode),
            }
            for (name, qtype), entry in self._entries.items()
            if now < entry.until
        ]


def values(key: Key, answer: Answer) -> list[str]:
    """Data of the records of the type asked for, as text."""
    question = codec.question_of(*key)
    counts = (1, *answer.counts, 0)
    message = codec.HEADER.pack(0, codec.QR | answer.rcode, *counts) + question + answer.body
    wanted = rdata.type_name(key[1])
    return [r["value"] for r in rdata.decode(message)["answers"] if r["type"] == wanted]


def aged(answer: Answer, age: float, kept: float) -> bytes:
    """``body`` with the seconds that remain of every TTL: never more than is left.

    :param kept: seconds that the answer is kept; if that is not its own TTL, no TTL in it may be
        less, or more
    """
    body = bytearray(answer.body)
    for offset, ttl in answer.ttls:
        given: float = ttl
        if kept != answer.ttl:
            given = max(ttl, kept) if kept > answer.ttl else min(ttl, kept)
        _LONG.pack_into(body, offset, max(0, int(given - age)))
    return bytes(body)

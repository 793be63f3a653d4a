"""The vocabulary of a history: which kinds of events there are and which fields each must have.

One event is one JSON object on one line: ``v`` (format version), ``t`` (ns of CLOCK_MONOTONIC),
``kind`` and the kind's own fields; ``i`` (position) is given when files are merged. The table
below lists only what a reader relies on; further fields may be added. Format: docs/history.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from drharness.errors import HistoryError

VERSION = 1

Data = dict[str, Any]


class Event(msgspec.Struct, frozen=True):
    """One event: position, instant in ns, kind, and all its fields (``v``, ``i``, ``t`` too)."""

    i: int
    t: int
    kind: str
    data: Data

    def __getitem__(self, name: str) -> Any:
        return self.data[name]

    def get(self, name: str, default: Any = None) -> Any:
        """A field, or ``default`` where the event has none."""
        return self.data.get(name, default)

    @property
    def type(self) -> str:
        """``invoke``, ``ok``, ``fail`` …; empty for kinds without a type."""
        return str(self.data.get("type", ""))


STR: tuple[type, ...] = (str,)
INT: tuple[type, ...] = (int,)
DICT: tuple[type, ...] = (dict,)
LIST: tuple[type, ...] = (list,)
NULL = type(None)
ANY: tuple[type, ...] = (object,)

WRITES = ("write", "append", "create", "cas", "delete")


@dataclass(frozen=True)
class Form:
    """What an event of one kind looks like.

    :ivar need: fields it must have, with the types allowed
    :ivar may: fields it may have; where present they must have these types
    :ivar values: fields whose value is one of a list
    """

    need: Mapping[str, tuple[type, ...]] = field(default_factory=dict)
    may: Mapping[str, tuple[type, ...]] = field(default_factory=dict)
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


STRN, INTN, BOOLN = (str, NULL), (int, NULL), (bool, NULL)
NUMN = (int, float, NULL)

FORMS: Mapping[str, Form] = {
    "run": Form({"run": STR, "topology": DICT, "active": STR}),
    "op": Form(
        {"type": STR, "proc": STR, "opid": STR, "f": STR, "via": STR},
        {"key": STRN, "epoch": STRN, "seq": INTN, "mode": STRN, "err": (dict, NULL)},
        {"type": ("invoke", "ok", "fail", "info"), "f": (*WRITES, "read")},
    ),
    "comp": Form(
        {"id": STR, "role": STR},
        {"db": STRN, "peer": STRN, "mode": STRN, "master": STRN, "epoch": STRN, "seq": INTN}
        | {"steady": INT},
        {"role": ("primary", "backup", "down", "none")},
    ),
    "ack": Form(
        {"server": STR, "opid": STR, "epoch": STR, "seq": INT},
        {"dbid": INTN, "sure": BOOLN, "again": BOOLN},
    ),
    "db": Form(
        {"db": STR, "writable": BOOLN},
        {"in_recovery": BOOLN, "epoch": STRN, "seq": INTN, "sessions": (list, NULL)}
        | {"steady": INT},
    ),
    "cache": Form({"proxy": STR}, {"epoch": STRN, "seq": INTN, "sha": STRN}),
    "vm": Form({"id": STR, "state": STR}, {}, {"state": ("on", "off", "frozen", "thawed")}),
    "net": Form({"type": STR, "what": DICT}, {}, {"type": ("cut", "heal")}),
    "fault": Form(
        {"type": STR, "f": STR},
        {"args": DICT, "targets": LIST, "proof": (dict, NULL), "since": INT},
        {"type": ("invoke", "ok", "info", "heal")},
    ),
    "act": Form(
        {"type": STR, "n": INT, "do": DICT},
        {"text": STRN},
        {"type": ("invoke", "ok", "fail", "refused", "skipped")},
    ),
    "step": Form(
        {"type": STR, "plan": INT, "id": STR},
        {"target": STRN, "result": ANY, "text": STRN},
        {"type": ("invoke", "ok", "fail", "refused", "info")},
    ),
    "plan": Form(
        {"type": STR, "plan": INT, "procedure": STR},
        {"to": STRN, "steps": LIST},
        {"type": ("invoke", "ok", "fail", "refused")},
    ),
    "traffic": Form({"type": STR}, {"counters": DICT}, {"type": ("start", "stop")}),
    "final": Form(
        {"source": STR, "objects": DICT},
        {"epoch": STRN, "seq": INTN, "ops": DICT, "dbids": DICT, "epochs": LIST}
        | {"index_equals_heap": BOOLN, "mode": STRN},
    ),
    "start": Form({"seq": INTN, "objects": INT}, {"unsure": INT}),
    "clean": Form(),
    "reach": Form({"src": STR, "dst": STR, "res": STR}, {"conn": STR, "phase": STR, "since": INT}),
    "edge": Form({"src": STR, "dst": STR, "by": STR, "phase": STR}, {"since": INT}),
    "dns": Form(
        {"host": STR, "fqdn": STR, "ans": LIST},
        {"source": STR, "ttl": INTN, "phase": STR, "since": INT},
    ),
    "audit": Form(
        {"db": STR, "in_recovery": BOOLN, "settings": DICT, "phase": STR},
        {"roles": LIST, "unlogged": LIST, "senders": LIST, "since": INT},
    ),
    "replica": Form(
        {"db": STR, "of": STR, "claimed": BOOLN, "readable": BOOLN, "phase": STR},
        {"waited_s": NUMN, "since": INT, "active": DICT, "standby": DICT},
    ),
    "res": Form({"db": STR}, {"pg_wal_mb": NUMN, "free_mb": NUMN, "max_wait_s": NUMN}),
    "stall": Form({"vm": STR, "since": INT}),
    "end": Form(),
    "note": Form({"text": STR}),
}


def check_event(data: object, where: str = "event") -> Data:
    """``data`` if it is an event of this vocabulary.

    :param where: what the message begins with, such as ``history.jsonl line 17``
    :raises HistoryError: names the place, the field, its value and what was expected
    """
    if not isinstance(data, dict):
        raise HistoryError(f"{where}: expected a JSON object, got {data!r:.80}")
    if data.get("v") != VERSION:
        raise HistoryError(f"{where}: field 'v': expected {VERSION}, got {data.get('v')!r}")
    if type(data.get("t")) is not int:
        raise HistoryError(f"{where}: field 't': expected int (ns), got {data.get('t')!r}")
    kind = data.get("kind")
    form = FORMS.get(kind) if isinstance(kind, str) else None
    if form is None:
        raise HistoryError(
            f"{where}: field 'kind': expected one of {', '.join(FORMS)}, got {kind!r}"
        )
    _check_fields(data, form, f"{where} ({kind})")
    return data


def _check_fields(data: Data, form: Form, where: str) -> None:
    for name, types in form.need.items():
        if name not in data:
            raise HistoryError(f"{where}: field {name!r}: expected {_names(types)}, got nothing")
        if not isinstance(data[name], types):
            _wrong(where, name, data[name], _names(types))
    for name, types in form.may.items():
        if name in data and not isinstance(data[name], types):
            _wrong(where, name, data[name], _names(types))
    for name, allowed in form.values.items():
        if data[name] not in allowed:
            _wrong(where, name, data[name], f"one of {', '.join(allowed)}")


def _names(types: tuple[type, ...]) -> str:
    return " or ".join("null" if t is NULL else t.__name__ for t in types)


def _wrong(where: str, name: str, value: object, expected: str) -> None:
    raise HistoryError(
        f"{where}: field {name!r}: expected {expected}, got {value!r:.80} ({type(value).__name__})"
    )

"""Events as short lines of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drharness.history.event import Event
from drharness.history.view import NS

WIDTH = 150  # longer lines hide what matters
HIDDEN = frozenset({"v", "i", "t", "kind", "src", "objects", "ops", "dbids", "epochs", "topology"})
# Of kinds with many fields, those that a finding is about.
TOLD: Mapping[str, Sequence[str]] = {
    "db": ("db", "writable", "epoch", "seq", "tli", "sessions"),
    "edge": ("src", "dst", "by", "phase"),
    "audit": ("db", "in_recovery", "phase"),
    "reach": ("src", "dst", "res", "phase"),
    "plan": ("type", "plan", "procedure", "to", "text", "code"),
}


def seconds_from(t0: int, t: int) -> str:
    """``+1.234``: seconds between two instants given in ns."""
    return f"{(t - t0) / NS:+9.3f}"


def shorten(value: object, width: int = 60) -> str:
    """A value's text, cut to ``width`` characters."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= width else text[: width - 3] + "..."


def describe(event: Event) -> str:
    """What happened, in one line: the kind, then what tells this event from others of it."""
    if event.kind == "op":
        return shorten(_operation(event), WIDTH)
    names = TOLD.get(event.kind) or [k for k in event.data if k not in HIDDEN]
    shown = [f"{k}={shorten(event[k])}" for k in names if event.get(k) not in ("", None)]
    return shorten(" ".join([event.kind, *shown]), WIDTH)


def _operation(event: Event) -> str:
    value = "" if event.get("val") is None else f"={shorten(event.get('val'), 24)}"
    parts = [f"op {event['opid']} {event['f']} {event['type']} {event.get('key') or ''}{value}"]
    if event["via"]:
        parts.append(f"via {event['via']}")
    for name in ("epoch", "seq", "mode", "client"):
        if event.get(name) not in (None, ""):
            parts.append(f"{name} {event[name]}")
    err = event.get("err") or {}
    if err:
        parts.append(f"{err.get('cls', 'error')}: {shorten(err.get('text', ''))}")
    return " ".join(parts)

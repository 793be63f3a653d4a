"""Domain names between text and wire form (uncompressed labels), the key everywhere in here."""

from __future__ import annotations

from drharness.errors import UsageError

MAX_LABEL = 63
MAX_NAME = 255


def to_wire(text: str, *, where: str = "name") -> bytes:
    """Lower-case wire form of an absolute name, with or without the final dot; ``"."`` is the root.

    :param where: what to call it in an error
    :raises UsageError: empty or over-long label, over-long name, not plain ASCII
    """
    bare = text[:-1] if text.endswith(".") else text
    labels = bare.lower().split(".") if bare else []
    try:
        wires = [label.encode("ascii") for label in labels]
    except UnicodeEncodeError:
        raise UsageError(f"{where}: expected a plain ASCII host name, got {text!r}.") from None
    if not text or any(not 1 <= len(wire) <= MAX_LABEL for wire in wires):
        raise UsageError(f"{where}: expected labels of 1 to {MAX_LABEL} characters, got {text!r}.")
    wire = b"".join(bytes([len(label)]) + label for label in wires) + b"\0"
    if len(wire) > MAX_NAME:
        raise UsageError(f"{where}: expected at most {MAX_NAME - 2} characters, got {text!r}.")
    return wire


def to_text(wire: bytes) -> str:
    """Text of a wire name without the final dot; odd bytes as ``\\DDD``; the root is ``"."``."""
    labels = []
    at = 0
    while wire[at]:
        label = wire[at + 1 : at + 1 + wire[at]]
        labels.append("".join(_character(byte) for byte in label))
        at += 1 + wire[at]
    return ".".join(labels) or "."


def ancestors(wire: bytes) -> list[bytes]:
    """The names above ``wire``, nearest first, the root last."""
    out = []
    while wire[0]:
        wire = wire[wire[0] + 1 :]
        out.append(wire)
    return out


def is_within(wire: bytes, origin: bytes) -> bool:
    """Whether ``wire`` is ``origin`` or below it, at a label boundary."""
    return wire == origin or (wire.endswith(origin) and origin in ancestors(wire))


def _character(byte: int) -> str:
    plain = 0x21 <= byte <= 0x7E and byte not in b'."\\()@;$'
    return chr(byte) if plain else f"\\{byte:03d}"

"""Topologies as TOML files: the arguments of ``guide`` as keys, and four tables.

``[profile]``, ``[replace]`` and ``[contexts]`` have values, ``[part]`` a table for each part.

An error begins with the file, then the table and the key it is about.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from drharness.errors import UsageError
from drharness.topology.model import ARGUMENTS, Topology, check_factory
from drharness.topology.parts import KEYS
from drharness.topology.profile import TUNABLE

_TABLES = ("profile", "replace", "part", "contexts")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def load(path: Path | str) -> Topology:
    """The topology that a file describes.

    :raises UsageError: it cannot be read, is no TOML (with the line), or holds what no topology has
    """
    try:
        text = Path(path).read_bytes().decode()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: expected text in UTF-8, byte {error.start} is none.") from error
    return loads(text, str(path))


def loads(text: str, name: str) -> Topology:
    """As :func:`load`, from the text of a file called ``name``."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name}: expected TOML: {error}.") from error
    for key in values:
        _check_key(f"{name}: {key}", key, (*ARGUMENTS, *_TABLES))
    tables = {table: _table(name, table, values.pop(table, {})) for table in _TABLES}
    for key in tables["profile"]:
        _check_key(f"{name}: [profile] {key}", key, TUNABLE)
    plain = _named(f"{name}: ", lambda: Topology.guide(**values))
    made = _named(f"{name}: [profile] ", lambda: plain.tuned(**tables["profile"]))
    known = {c.id for c in made.components} | {c.kind for c in made.components}
    for key, value in tables["replace"].items():
        place = f"{name}: [replace] {key}"
        _check_key(place, key, known)
        check_factory(place, value)
        made = made.replace(key, value)
    for key, value in tables["part"].items():
        made = _with_part(made, name, key, value)
    for key in tables["contexts"]:
        _check_key(f"{name}: [contexts] {key}", key, made.regions)
    return _named(f"{name}: ", lambda: made.on_contexts(tables["contexts"]))


def _with_part(topology: Topology, name: str, part: str, value: object) -> Topology:
    place = f"{name}: [part.{part}] "
    options = _table(name, f"part.{part}", value)
    for key in options:
        _check_key(f"{place}{key}", key, KEYS)
    for key in ("on", "image"):
        if key not in options:
            raise UsageError(f"{place}{key}: missing; every part needs it.")
    return _named(place, lambda: topology.with_part(part, **options))


def _table(name: str, table: str, value: object) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    got = f"got {value!r} ({type(value).__name__})"
    raise UsageError(f"{name}: {table}: expected a table, as in [{table}], {got}.")


def _check_key(place: str, key: str, allowed: Collection[str]) -> None:
    if key in allowed:
        return
    near = difflib.get_close_matches(key, list(allowed), n=1)
    guess = f" Did you mean {near[0]}?" if near else ""
    if key in ARGUMENTS:
        guess = f" {key} belongs before the first table."
    elif key in TUNABLE:
        guess = f" {key} belongs in [profile]."
    raise UsageError(f"{place}: unknown key; expected one of {', '.join(sorted(allowed))}.{guess}")


def _named(place: str, made: Callable[[], Topology]) -> Topology:
    """What ``made`` makes; its error, which begins with the key, gets the place before it."""
    try:
        return made()
    except UsageError as error:
        raise UsageError(f"{place}{error}") from error


def dump(topology: Topology) -> str:
    """The text of a file that describes it, with every value; :func:`load` gives the same again."""
    lines = [f"{name} = {_value(getattr(topology, name))}" for name in ARGUMENTS]
    tables: Mapping[str, Iterable[tuple[str, object]]]
    tables = {"profile": topology.tuning, "replace": topology.replaced}
    tables |= {"contexts": topology.contexts}
    for table, values in tables.items():
        if values:
            lines += ["", f"[{table}]", *(f"{_key(key)} = {_value(v)}" for key, v in values)]
    for one in topology.parts:
        lines += ["", f"[part.{one.name}]"]
        plain = {key: getattr(one, key) for key in KEYS if key != "files"}
        lines += [f"{key} = {_value(value)}" for key, value in plain.items() if value]
        if one.files:
            lines += ["", f"[part.{one.name}.files]"]
            lines += [f"{_key(path)} = {_value(text)}" for path, text in one.files]
    return "\n".join([*lines, ""])


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)


def _value(value: object) -> str:
    """Strings, numbers and lists of them are written in TOML as in JSON."""
    return json.dumps(value, ensure_ascii=False)

"""A schedule: what happens, to what, in which order; a value that a file can hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drharness.errors import UsageError
from drharness.kernel import validate
from drharness.schedule import decoding, encoding
from drharness.schedule.actions import Action
from drharness.schedule.procedure import ProcedureUse
from drharness.topology import Topology

VERSION = 1


@dataclass(frozen=True)
class Schedule:
    """What happens to a deployment under traffic.

    :ivar actions: one after the other
    :ivar procedure: what ``Next`` and ``Finish`` carry out
    :ivar topology: of the deployment
    :ivar rate: writes per second of the traffic, None for the timing profile's
    """

    actions: tuple[Action, ...]
    procedure: ProcedureUse = field(default_factory=ProcedureUse)
    topology: Topology = field(default_factory=Topology.guide)
    rate: float | None = None

    def __post_init__(self) -> None:
        for action in self.actions:
            if not isinstance(action, Action):
                raise UsageError(f"actions: expected actions, like Next(), got {action!r}.")
        validate.choice("to", self.procedure.to, self.topology.regions)
        if self.rate is not None:
            validate.number("rate", self.rate, low=0.1, high=2000)

    def as_dict(self) -> dict[str, Any]:
        """As a JSON object; :meth:`from_dict` reads it."""
        return {
            "version": VERSION,
            "topology": encoding.plain(self.topology.as_dict()),
            "rate": self.rate,
            "procedure": encoding.procedure(self.procedure),
            "actions": [encoding.action(a) for a in self.actions],
        }

    def to_json(self, *, found: Mapping[str, Any] | None = None) -> str:
        """As text, one action a line.

        :param found: what came of it, for who plays it again
        """
        rows = self.as_dict()
        actions = ",\n".join(f"  {json.dumps(a)}" for a in rows.pop("actions"))
        head = "".join(f" {json.dumps(k)}: {json.dumps(v)},\n" for k, v in rows.items())
        tail = "" if found is None else f',\n "found": {json.dumps(found)}'
        return f'{{\n{head} "actions": [{actions and chr(10)}{actions}\n ]{tail}\n}}\n'

    @classmethod
    def from_json(
        cls, text: str, file: str = "schedule", *, topology: Topology | None = None
    ) -> Schedule:
        """The schedule that a text describes.

        :param file: what the text is called, for errors
        :param topology: of the deployment, instead of the one in the text
        :raises UsageError: names the file, the place in it, the value, what was expected, and the
            nearest valid name
        """
        return cls(**decoding.schedule(text, file, version=VERSION, topology=topology))

    @classmethod
    def load(cls, path: Path, *, topology: Topology | None = None) -> Schedule:
        """The schedule in a file.

        :param topology: of the deployment, instead of the one in the file
        :raises UsageError: as :meth:`from_json`, or it cannot be read
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise UsageError(f"{path}: expected a schedule, cannot be read ({why}).") from error
        return cls.from_json(text, str(path), topology=topology)

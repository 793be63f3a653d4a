"""What happens, as it happens: the events of the controller become lines on the screen."""

from __future__ import annotations

from pathlib import Path

from drharness.cli.screen import Screen
from drharness.deployment import evidence
from drharness.faults import Receipt, RegionDown
from drharness.faults.model import Fault
from drharness.history.event import Data

_MARKS = {"ok": "ok", "fail": "FAIL", "refused": "NO", "info": "--"}


class Progress:
    """Listens to the controller's recorder.

    :ivar run: directory of the run's evidence, None until it is known
    """

    def __init__(self, screen: Screen, base: Path | None) -> None:
        self.run: Path | None = None
        self._screen = screen
        self._base = base or evidence.DEFAULT

    def __call__(self, event: Data) -> None:
        kind = event["kind"]
        if kind == "run":
            self.run = self._base.absolute() / event["run"]
        elif kind == "step" and event["type"] == "invoke":
            self._screen.begin(event["id"])
        elif kind == "step":
            refused = "  refused" if event["type"] == "refused" else ""
            self._screen.end(_MARKS[event["type"]], f"{event.get('clause') or ''}{refused}")
            for line in str(event.get("text") or "").splitlines():
                self._screen.say(f"       {line}")


def label_of(fault: Fault) -> str:
    """A fault in two words."""
    return f"{fault.region} down" if isinstance(fault, RegionDown) else fault.f.replace("_", " ")


def proof_of(receipt: Receipt) -> str:
    """What proved a fault, in one line."""
    seen = receipt.changed
    whose = ", ".join(sorted({probe.partition(" -> ")[0] for probe in seen}))
    what = "silent to" if receipt.lost == seen else "seen otherwise by"
    return f"proven: {len(seen)}/{len(receipt.before)} {what} {whose}"

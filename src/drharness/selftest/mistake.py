"""What a planted mistake is, and how it is tried: a deployment, what happens to it, a verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from drharness.checks import Verdict
from drharness.deployment import Deployment, deploy
from drharness.kernel import clock
from drharness.topology import Topology

FAMILIES = ("procedure", "topology", "component", "database", "dns", "firewall")
Play = Callable[[Deployment], object]


@dataclass(frozen=True)
class Mistake:
    """A mistake in an otherwise right system; without ``invariants`` there is none.

    :ivar id: its name on the command line
    :ivar family: where it was made, one of :data:`FAMILIES`
    :ivar title: what is wrong, as a sentence without its full stop
    :ivar invariants: one of these must fail, by name, for it to count as found
    :ivar play: what happens to the deployment, traffic included; the verdict comes after it
    """

    id: str
    family: str
    title: str
    invariants: tuple[str, ...]
    play: Play
    topology: Topology = field(default_factory=Topology.guide)


@dataclass(frozen=True)
class Tried:
    """How it went.

    :ivar failed: the invariants that failed
    :ivar seconds: from nothing to the verdict, deployment included
    :ivar run: the run's evidence
    """

    mistake: Mistake
    status: Verdict
    failed: tuple[str, ...]
    seconds: float
    run: Path
    text: str

    @property
    def ok(self) -> bool:
        """Whether a mistake was found by a name it must be found by; else whether all passed."""
        if self.mistake.invariants:
            return bool(set(self.failed) & set(self.mistake.invariants))
        return self.status is Verdict.PASS


def attempt(mistake: Mistake, *, engine: str, evidence: Path | None) -> Tried:
    """Try one on a deployment of its own.

    :raises DrHarnessError: the deployment did not come up, or what was to happen could not
    """
    begun = clock.Deadline(0)
    with deploy(mistake.topology, engine=engine, evidence_dir=evidence) as deployment:
        mistake.play(deployment)
        verdict = deployment.judge()
        seconds = begun.waited
        return Tried(
            mistake, verdict.status, verdict.failed, seconds, deployment.evidence, str(verdict)
        )

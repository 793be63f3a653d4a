"""Where the commands that try schedules get their deployments from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from drharness.deployment.pool import Pool
from drharness.kernel import validate
from drharness.topology import Topology

_MOST_JOBS = 8


@dataclass(frozen=True)
class Place:
    """Where deployments run, and where their evidence goes: None for the default.

    :ivar jobs: how many are used at once
    """

    engine: str
    evidence: Path | None
    jobs: int = 1

    def __post_init__(self) -> None:
        validate.count("--jobs", self.jobs, low=1, high=_MOST_JOBS)

    def pool(self, topology: Topology, *, trials: int) -> Pool:
        """Where so many trials get their deployments from: the next comes up while one is used."""
        staged = self.jobs if trials > 1 else 0
        return Pool(topology, engine=self.engine, evidence_dir=self.evidence, staged=staged)

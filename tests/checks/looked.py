"""What censuses see in the drill that goes well, as events for a story."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drharness.topology import Topology

if TYPE_CHECKING:
    from tests.checks.story import Story

TOPOLOGY = Topology.guide()
DATABASE = {r: f"{TOPOLOGY.dbms(r).address}:5432" for r in TOPOLOGY.regions}


def census(story: Story, t: float, phase: str, *, active: str, up: tuple[str, ...]) -> None:
    """Everything as it should be.

    :param active: region whose database and Framework are active
    :param up: regions that have power
    """
    for region in TOPOLOGY.regions:
        source = f"{region}-framework-p"
        for target in up:
            wanted = region == target == active
            probe(story, t, source, target, res="ok" if wanted else "refused", phase=phase)


def probe(story: Story, t: float, source: str, target: str, *, res: str, phase: str) -> None:
    """A connection tried from a VM to a region's database."""
    dst = DATABASE[target]
    story.add(t, "reach", src=source, dst=dst, conn="new", res=res, phase=phase)

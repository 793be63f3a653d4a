"""What is broken on purpose: one file per family, one frozen class per fault.

A fault is proven: it is probed before and after, and without a visible effect it raises instead of
letting a run pass that tested nothing. Its guard heals exactly what it broke.
"""

from drharness.faults.model import Guard, Receipt
from drharness.faults.network import RegionsCut
from drharness.faults.vm import RegionDown

BY_NAME = {"region-down": RegionDown, "regions-cut": RegionsCut}

__all__ = ["BY_NAME", "Guard", "Receipt", "RegionDown", "RegionsCut"]

"""The harness tested on itself: mistakes planted in a right system, each to be found by name.

Beside them the right system is run in the same ways: there nothing may be found.
"""

from drharness.selftest.catalogue import CORRECT, MISTAKES
from drharness.selftest.mistake import Mistake, Tried, attempt

__all__ = ["CORRECT", "MISTAKES", "Mistake", "Tried", "attempt"]

"""How Hypothesis is to behave where an example is a drill of seconds on a running system.

Three of its habits do not suit that. It shrinks a failure by hundreds of replays; here each takes
seconds, and in real time a failure may not come back at each: ``drharness hunt`` shrinks by its own
means. It goes on after a failure in search of others; and it has a deadline for each example.
"""

from __future__ import annotations

import hypothesis
from hypothesis import HealthCheck, Phase, control

# Examples that failed are in Hypothesis' own database, and ``reuse`` begins with them.
SETTINGS = hypothesis.settings(
    max_examples=10,
    stateful_step_count=6,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    report_multiple_bugs=False,
    suppress_health_check=(HealthCheck.too_slow,),
)


def is_last_look() -> bool:
    """Whether Hypothesis repeats an example that has failed, to print it.

    It was seen to fail. Tried once more it may pass, and Hypothesis would call the test flaky.
    """
    if not control.currently_in_test_context():
        return False
    return bool(control.current_build_context().is_final)

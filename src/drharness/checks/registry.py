"""The form of a check, and the list of all of them in the order of a report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from drharness.checks import (
    audit,
    durability,
    fence,
    graph,
    ids,
    liveness,
    masters,
    moves,
    naming,
    registers,
    replication,
    safety,
    sessions,
    structure,
    validity,
)
from drharness.checks.form import NotExercised
from drharness.checks.verdict import Finding
from drharness.history.view import History

__all__ = ["CHECKS", "Check", "NotExercised"]


@dataclass(frozen=True)
class Check:
    """A named invariant; ``run`` returns what broke it, or why there was nothing to judge."""

    id: str
    title: str
    run: Callable[[History], list[Finding] | NotExercised]


CHECKS: tuple[Check, ...] = (
    Check("S1", "one writable configuration database", safety.one_writable_database),
    Check("S2", "a master's role is its database's", masters.role_matches),
    Check("S3", "one master", safety.one_master),
    Check("S5", "the fence matrix", fence.fence_matrix),
    Check("S6", "a standby has what its primary has", replication.replication_truth),
    Check("S7", "what was lost does not come back", sessions.nothing_resurrected),
    Check("S8", "ok means that a master acknowledged", masters.acknowledged_in_order),
    Check("S9", "limited mode refuses", safety.limited_mode_refuses),
    Check("S10", "a proxy serves a prefix of the log", sessions.cache_is_prefix),
    Check("S11", "what a client sees goes forward", sessions.sessions_go_forward),
    Check("S12", "every change once, every number once", ids.applied_once),
    Check("S13", "the final state is what the acknowledged changes make", safety.state_is_model),
    Check("D1", "sync: every acknowledged change survives", durability.nothing_lost),
    Check("D2", "async: only changes within the lag bound are lost", durability.bounded_loss),
    Check("D3", "async: the loss is a suffix of its epoch", durability.loss_is_suffix),
    Check("D4", "a planned move loses nothing", moves.planned_move_loses_nothing),
    Check("D5", "the lag gate is honest", moves.gate_is_honest),
    Check("L1", "writes recover", liveness.writes_recover),
    Check("L2", "limited mode serves reads", liveness.reads_go_on),
    Check("L3", "proxies reconnect in time", liveness.proxies_reconnect),
    Check("L5", "a run done again converges", moves.reruns_converge),
    Check("L6", "WAL, disk and waits stay bounded", audit.resources_bounded),
    Check("P1", "steps in order, none skipped", structure.steps_in_order),
    Check("T1", "the connection graph", graph.connection_graph),
    Check("T2", "the name matrix", naming.name_matrix),
    Check("T3", "settings", audit.settings_audited),
    Check("W1", "each object's changes have an order", registers.registers_linear),
    Check("V1", "the run proves something", validity.not_vacuous),
)

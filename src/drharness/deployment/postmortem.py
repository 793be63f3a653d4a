"""What to say of a deployment after a failure, collected while it may still run.

Nothing here raises: a part that cannot be collected says so in its place, because the failure that
led here counts more.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from drharness.checks.judge import judge
from drharness.deployment import evidence
from drharness.deployment.deployment import Deployment
from drharness.history import store
from drharness.history.view import History

_LOG_LINES = 4  # of each of some 25 logs


def account(deployment: Deployment, *, here: Path, ends: bool) -> str:
    """The verdict, the last lines of all logs and where the evidence is, as one text.

    :param here: the reader's directory; paths below it are shown relative to it
    :param ends: nobody needs the deployment any more: its traffic may be stopped and everything
        read back; else only what was recorded so far is judged
    """
    asked = deployment.judgement is not None
    lines = [
        "verdict:" if asked else "verdict (judged after the failure):",
        _attempt("verdict", lambda: _verdict(deployment, ends=ends)),
        "",
        account_of_start(deployment.evidence, here=here),
        f"judge it again: drharness check {_typed(deployment.evidence, here)}/{store.HISTORY}",
    ]
    return "\n".join(lines)


def account_of_start(run: Path, *, here: Path) -> str:
    """The logs and the place of the evidence: all there is of a deployment that did not come up."""
    logs = _attempt("logs", lambda: evidence.log_tails(run, lines=_LOG_LINES))
    where = _typed(run, here)
    return f"last lines of each log in {where}:\n{logs}\n\nevidence: {where}"


def interrupted(deployment: Deployment, *, here: Path) -> str:
    """Write ``history.jsonl`` of all recorded so far; says where, and how much it is."""
    saved = _attempt("history", lambda: f"{len(_saved(deployment).events)} events")
    where = _typed(deployment.evidence, here)
    return f"interrupted; evidence of the deployment: {where} ({saved})"


def figures(deployment: Deployment) -> dict[str, str | float | int]:
    """Of a deployment, for JUnit properties and the like.

    ``dr_evidence`` (a path) and, once judged: ``dr_verdict``, ``dr_rto`` (s), ``dr_rto_<phase>``
    (s), ``dr_rto_last`` (the proxy host that came back last), ``dr_lost`` (changes),
    ``dr_rpo_seconds``, ``dr_rpo_wal_bytes``; what is not known is not there.
    """
    found: dict[str, str | float | int] = {"dr_evidence": str(deployment.evidence)}
    judgement = deployment.judgement
    if judgement is None:
        return found
    found["dr_verdict"] = str(judgement.status)
    if judgement.rto is not None:
        slow = max(judgement.recoveries, key=lambda r: r.seconds or 0.0)
        found["dr_rto"] = round(judgement.rto, 3)
        found |= {f"dr_rto_{name}": round(seconds, 3) for name, seconds in slow.phases}
        if slow.hosts:
            found["dr_rto_last"] = slow.hosts[-1].host
    if judgement.rpo is not None:
        found["dr_lost"] = len(judgement.rpo.lost)
        found["dr_rpo_seconds"] = round(judgement.rpo.seconds, 3)
        if judgement.rpo.wal_bytes is not None:
            found["dr_rpo_wal_bytes"] = judgement.rpo.wal_bytes
    return found


def _typed(path: Path, here: Path) -> str:
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _saved(deployment: Deployment) -> History:
    run: Path = deployment.evidence
    deployment.operations.written.collect()
    files = evidence.event_files(run)
    return History(store.merge(run / store.RECORD, files, run / store.HISTORY))


def _verdict(deployment: Deployment, *, ends: bool) -> str:
    if deployment.judgement is not None:
        return str(deployment.judgement)
    history = _saved(deployment)  # first, so that there is one even if reading back fails
    return str(deployment.judge() if ends else judge(history))


def _attempt(what: str, collect: Callable[[], str]) -> str:
    try:
        return collect()
    except Exception as error:  # noqa: BLE001 - said in its place; the first failure counts
        return f"no {what}: {type(error).__name__}: {error}"

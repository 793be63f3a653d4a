"""A deployment of a pool that goes to a keeper: it stays, and nothing of it is left here."""

from __future__ import annotations

from pathlib import Path

import pytest

from drharness.deployment import Pool
from drharness.deployment.custody import Custody


@pytest.mark.slow
def test_a_deployment_given_away_stays_and_the_pool_finds_nothing_left_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runtime").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    custody = Custody()
    pool = Pool(evidence_dir=tmp_path / "runs", staged=0)
    with pool.lease(custody=custody) as deployment:
        kept = custody.keep(deployment, "given", origin="a test")
    try:
        pool.close()  # raises if anything is left
        assert (dict(pool.remains.left), custody.taken) == ({}, True)
        run = deployment.evidence
        assert (run / "disks").is_dir()  # the keeper's now
        assert (run / ".open").read_text().strip() == str(kept.record.pid)
        assert kept.ask("status")["lost"] == {}
    finally:
        kept.down()
    assert not {"disks", ".open"} & {path.name for path in run.iterdir()}


@pytest.mark.slow
def test_a_keeper_in_waiting_serves_one_lease_after_the_other(tmp_path: Path) -> None:
    custody = Custody()
    try:
        with Pool(evidence_dir=tmp_path, staged=1) as pool:
            for _ in range(2):
                with pool.lease(staged=0, custody=custody) as deployment:
                    assert not deployment.operations.lost()
        assert (dict(pool.remains.left), custody.taken) == ({}, False)
    finally:
        custody.close()

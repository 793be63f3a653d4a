"""The plugin's options: what they are, and their values, checked.

Loaded with the plugin, so nothing heavy is imported before an option asks for it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from drharness import errors

if TYPE_CHECKING:
    from drharness.topology import Topology

KEEP = "keep the deployment of a failed test; its report says how to get in and how to end it"
OPTIONS = {
    "engine": ("auto", "NAME", "where deployments run: auto (the first that can), local or docker"),
    "require": ("", "NAMES", "engines (comma list) whose absence fails a test instead of skipping"),
    "max_rto": ("", "S", "fail a judgement whose slowest recovery took longer (seconds)"),
    "max_rpo": ("", "LIMIT", "fail a judgement that lost more: 0 (changes), 2s or 64kB (WAL)"),
    "timeout_scale": ("1", "X", "stretch every deadline by X (1 or more), for slow hosts"),
    "staged": ("", "0|1", "deployments that come up while a test runs; default 1, with a budget 0"),
    "topology": ("", "FILE", "what deployments consist of unless a test says otherwise, as TOML"),
    "evidence": (".drharness", "DIR", "where the evidence of runs is kept; default .drharness"),
}


@dataclass(frozen=True)
class Settings:
    """The options, checked.

    :ivar engine: name of an engine, or ``auto``
    :ivar required: engines whose absence is a failure
    :ivar evidence: absolute directory of all runs
    :ivar budget: limits on RTO (s) and RPO of every judgement, None: no limit
    :ivar scale: factor on deadlines, at least 1
    :ivar topology: what deployments consist of unless a test says otherwise; None: the guide's
    :ivar staged: whether the next deployment comes up while a test runs
    :ivar keep: whether the deployments of failed tests stay
    :ivar here: the directory that pytest was started in; paths are shown relative to it
    """

    engine: str
    required: frozenset[str]
    evidence: Path
    scale: float
    budget: tuple[float | None, str | None]
    topology: Topology | None
    here: Path
    staged: bool
    keep: bool


def read(config: pytest.Config) -> Settings:
    """The settings of a session.

    :raises UsageError: names the option, its value and what was expected
    """
    here = config.invocation_params.dir
    return Settings(
        engine=_engine_names(config, "engine")[0],
        required=frozenset(_engine_names(config, "require")),
        evidence=_path(config, "evidence"),
        scale=_scale(_option(config, "timeout_scale")),
        budget=_budget(_option(config, "max_rto"), _option(config, "max_rpo")),
        topology=_topology(config),
        here=here,
        staged=_staged(_option(config, "staged"), _option(config, "max_rto")),
        keep=bool(config.getoption("dr_keep") or config.getini("dr_keep")),
    )


def _option(config: pytest.Config, name: str) -> str:
    given: str | None = config.getoption(f"dr_{name}")
    return str(config.getini(f"dr_{name}")) if given is None else given


def _path(config: pytest.Config, name: str) -> Path:
    """On the command line relative to the current directory, in the ini file to its own."""
    said = config.getoption(f"dr_{name}") is not None
    base = config.invocation_params.dir if said else config.rootpath
    return Path(os.path.abspath(base / _option(config, name)))


def _topology(config: pytest.Config) -> Topology | None:
    if not _option(config, "topology"):
        return None
    from drharness.topology import Topology

    return Topology.load(_path(config, "topology"))


def _engine_names(config: pytest.Config, option: str) -> list[str]:
    """The names in an option, each one of an engine; the engines are loaded only to check them."""
    text = _option(config, option)
    if text == OPTIONS[option][0]:
        return [text]
    from drharness.deployment.engines import NAMES
    from drharness.kernel import validate

    allowed = [name for name in NAMES if option == "engine" or name != "auto"]
    found = [text] if option == "engine" else text.split(",")
    return [validate.choice(f"--dr-{option}", name.strip(), allowed) for name in found]


def _scale(text: str) -> float:
    try:
        scale = float(text)
    except ValueError:
        scale = 0.0
    if not 1 <= scale <= 1000:
        raise errors.UsageError(
            f"--dr-timeout-scale: expected a number from 1 to 1000, got {text!r}."
        )
    return scale


def _staged(text: str, max_rto: str) -> bool:
    """Where recoveries are held to a time, nothing else shall take the processor's."""
    if text not in ("", "0", "1"):
        raise errors.UsageError(f"--dr-staged: expected 0 or 1, got {text!r}.")
    return text == "1" or (not text and not max_rto)


def _budget(rto: str, rpo: str) -> tuple[float | None, str | None]:
    if not rto and not rpo:
        return None, None
    from drharness.checks import Budget

    try:
        seconds = float(rto) if rto else None
    except ValueError:
        raise errors.UsageError(
            f"--dr-max-rto: expected a number of seconds, got {rto!r}."
        ) from None
    found = Budget.of(seconds, rpo or None, names=("--dr-max-rto", "--dr-max-rpo"))
    return found.rto, found.rpo

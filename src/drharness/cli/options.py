"""What the commands take: each option once, with its name and its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Procedure = Annotated[
    str,
    typer.Argument(metavar="PROCEDURE", help="full-failover, framework-failover or dbms-failover"),
]
To = Annotated[
    str, typer.Option(metavar="REGION", help="The region that takes over; default: the second.")
]
TopologyFile = Annotated[
    Path | None,
    typer.Option(
        "--topology", metavar="FILE", help="What is deployed, as TOML; the options below it win."
    ),
]
FaultName = Annotated[
    str,
    typer.Option(
        "--fault",
        metavar="NAME[:ARGUMENTS]",
        help="What breaks: region-down, vm-down:active.dbms …, or none; default: its usual case.",
    ),
]
Database = Annotated[
    str,
    typer.Option(metavar="move|stay", help="framework-failover: whether the database moves, too."),
]
Replication = Annotated[
    str, typer.Option(metavar="sync|async", help="How databases replicate; default sync.")
]
Timing = Annotated[
    str,
    typer.Option(metavar="fast|guide", help="Sub-second timers (default), or the products' own."),
]
Ttl = Annotated[
    int | None, typer.Option(metavar="SECONDS", help="TTL of the names; default: the timing's.")
]
ReturnFence = Annotated[
    str,
    typer.Option(
        metavar="boot-deny|none",
        help="Whether a DBMS VM boots with every Framework shut out; default boot-deny.",
    ),
]
Rate = Annotated[
    float | None, typer.Option(metavar="N", help="Writes per second; default: the timing's.")
]
Without = Annotated[
    list[str] | None, typer.Option(metavar="STEP", help="Leave a step out; repeatable.")
]
Swap = Annotated[list[str] | None, typer.Option(metavar="A,B", help="Swap two steps; repeatable.")]
Repeat = Annotated[
    list[str] | None, typer.Option(metavar="STEP", help="Do a step twice; repeatable.")
]
Delay = Annotated[
    list[str] | None,
    typer.Option(metavar="STEP=SECONDS", help="Wait before a step; repeatable."),
]
Interrupt = Annotated[
    str,
    typer.Option(metavar="STEP", help="Kill the controller after a step; another one begins anew."),
]
Fence = Annotated[
    str, typer.Option(metavar="out-of-band|firewall", help="How the old database is fenced.")
]
Force = Annotated[
    bool, typer.Option("--force", help="Go on without proof of the fence, or with too much lag.")
]
MaxLag = Annotated[
    str, typer.Option(metavar="LIMIT", help="Refuse if the standby lacks more: 2s, or 64kB of WAL.")
]
EngineName = Annotated[str, typer.Option(metavar="auto|local|docker", help="Where to run.")]
Json = Annotated[
    str, typer.Option("--json", metavar="FILE", help="Result for programs; - is standard output.")
]
Evidence = Annotated[
    Path | None,
    typer.Option(
        "--keep-evidence", metavar="DIR", help="Where the run's directory goes; default .drharness."
    ),
]
Scale = Annotated[
    float, typer.Option("--timeout-scale", metavar="X", help="Stretch timeouts on a slow host.")
]
MaxRto = Annotated[
    float | None,
    typer.Option(metavar="S", help="Fail if the slowest region takes writes again later."),
]
MaxRpo = Annotated[
    str | None,
    typer.Option(
        metavar="LIMIT", help="Fail if more is lost: 0 (changes), 2s, or 64kB (bytes of WAL)."
    ),
]
On = Annotated[
    str, typer.Option("--on", metavar="NAME", help="In a deployment that is up (drharness up).")
]
Runs = Annotated[int, typer.Option(metavar="N", help="Repeat the drill.")]

"""The commands about deployments that stay up: ``up``, ``status``, ``exec`` and ``down``.

Each is done by :mod:`drharness.cli.kept`, loaded when it runs.
"""

from __future__ import annotations

from typing import Annotated

import typer
from typer.core import TyperCommand

from drharness.cli.app import app, or_error, screens
from drharness.cli.options import (
    EngineName,
    Evidence,
    Replication,
    ReturnFence,
    Scale,
    Timing,
    TopologyFile,
    Ttl,
)

_UP_EXAMPLES = """\b
Examples:
  drharness up
  drharness up --name lab2 --replication async --lifetime 2d
  drharness exec region1-dbms --user postgres -- psql
  drharness down
"""
_EXEC_EXAMPLES = """\b
Examples:
  drharness exec region1-application-p               a shell
  drharness exec region1-dbms -- iptables -S
  drharness exec region1-dbms --user postgres -- psql -c 'TABLE cfg_commit'
  drharness exec region2-dbms -- sh < commands.sh

\b
Exit codes: the command's own, 128 and the signal's number if one killed it, 125 if it could not be
run, 130 interrupted (Ctrl-C; the command is killed, too).
"""

Name = Annotated[str, typer.Option("--name", metavar="NAME", help="What to call the deployment.")]
Which = Annotated[str, typer.Option("--name", metavar="NAME", help="Which one, if several are up.")]
Lifetime = Annotated[
    str,
    typer.Option(metavar="TIME", help="When it ends by itself: 90m, 8h, 2d."),
]


@app.command(epilog=_UP_EXAMPLES, short_help="Bring a deployment up that stays.")
def up(
    *,
    name: Name = "default",
    topology: TopologyFile = None,
    replication: Replication = "",
    timing: Timing = "",
    ttl: Ttl = None,
    return_fence: ReturnFence = "",
    lifetime: Lifetime = "8h",
    engine: EngineName = "auto",
    keep_evidence: Evidence = None,
    timeout_scale: Scale = 1.0,
) -> None:
    """Bring a deployment up that stays until `drharness down`; returns once clients can write."""

    def begun() -> int:
        from drharness.cli import kept, plan

        plan.check_rest(engine=engine, scale=timeout_scale)
        chosen = plan.topology_of(
            topology, replication=replication, timing=timing, ttl=ttl, return_fence=return_fence
        )
        wanted = kept.Wanted(
            name, chosen, engine, keep_evidence, kept.seconds_of(lifetime), timeout_scale
        )
        return kept.bring_up(wanted, *screens(""))

    raise typer.Exit(or_error(begun))


@app.command(short_help="Say what is up, and how it is.")
def status(
    *,
    name: Annotated[str, typer.Argument(metavar="[NAME]", show_default=False)] = "",
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say what is up; of one deployment its VMs, components, names, replication and firewall.

    Looking changes nothing in it.
    """

    def told() -> int:
        from drharness.cli import kept

        return kept.tell(name, screens("-" if json else "")[0], json=json)

    raise typer.Exit(or_error(told))


class _Exec(TyperCommand):
    """Without a ``--`` all that follows the VM is the command, its options included."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        ctx.allow_interspersed_args = "--" in args
        return super().parse_args(ctx, args)


@app.command(
    "exec", cls=_Exec, epilog=_EXEC_EXAMPLES, short_help="Run a command, or a shell, in a VM."
)
def execute(
    *,
    vm: Annotated[str, typer.Argument(metavar="VM", help="As `drharness status` lists them.")],
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[--] [COMMAND...]", help="Default: a shell.", show_default=False),
    ] = None,
    name: Which = "",
    user: Annotated[
        str, typer.Option(metavar="USER", help="postgres; default: the VM's root.")
    ] = "",
    tty: Annotated[
        bool, typer.Option("--tty", "-t", help="Give the command a terminal, as a shell has one.")
    ] = False,
) -> None:
    """Run COMMAND in a VM, its input and output being yours; without one, a shell."""
    from drharness.cli import kept

    raise typer.Exit(kept.execute(vm, command or [], name=name, user=user, tty=tty))


@app.command(short_help="End deployments that stay.")
def down(
    *,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of yours.")] = False,
) -> None:
    """End a deployment; nothing of it is left but its evidence when this returns."""

    def ended() -> int:
        from drharness.cli import kept

        return kept.take_down(names or [], *screens(""), everything=everything)

    raise typer.Exit(or_error(ended))


FaultText = Annotated[
    str, typer.Argument(metavar="FAULT", help="region-down, vm-down:active.dbms …; see drill.")
]


@app.command(short_help="Break something in a deployment that is up.")
def fault(*, fault: FaultText, name: Which = "") -> None:
    """Break something in a deployment that is up, and prove it; until `drharness heal`."""

    def broken() -> int:
        from drharness.cli import on

        on.ask(name, "inject", screens(""), fault=fault)
        return 0

    raise typer.Exit(or_error(broken))


@app.command(short_help="Heal all that is broken in a deployment that is up.")
def heal(*, name: Which = "") -> None:
    """Undo every fault in force; what procedures have changed stays."""

    def healed() -> int:
        from drharness.cli import on

        on.ask(name, "heal", screens(""))
        return 0

    raise typer.Exit(or_error(healed))

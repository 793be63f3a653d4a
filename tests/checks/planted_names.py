"""Planted histories of names that are wrong: name to (invariant, bad, how it is made)."""

from __future__ import annotations

from collections.abc import Mapping

from tests.checks.planted_epochs import Made, edited, told
from tests.checks.story import STEPS, TWO, Data, Plot, Story

_PROOF = {"before": {"a look-up": "addresses 10.81.1.11"}, "after": {"a look-up": "other"}}


def _fault(story: Story, since: float, until: float | None, *, f: str, args: object) -> None:
    story.add(since, "fault", type="invoke", f=f, args=args)
    story.add(since + 0.01, "fault", type="ok", f=f, args=args, proof=_PROOF)
    if until is not None:
        story.add(until, "fault", type="heal", f=f, args=args)


def _resolver_keeps(story: Story) -> None:
    """Nothing happened to the VM whose resolver it is: its proxy has to recover."""
    args = {"target": TWO, "how": "floor", "seconds": 60.0}
    _fault(story, 1.62, None, f="resolver_policy", args=args)


def _cached_for_long(story: Story) -> None:
    """A look at that resolver, after the names were switched."""
    args = {"target": "region2.application", "how": "floor", "seconds": 60.0}
    _fault(story, 1.62, None, f="resolver_policy", args=args)
    for event in story.events:
        if event.get("f") == "resolver_policy":
            event["targets"] = [f"{TWO}.resolver"]
    look = {"host": TWO, "fqdn": "cfgmaster-p.dr.internal", "ans": ["10.82.1.11"]}
    story.add(4.7, "dns", source="cache", ttl=60, phase="end", **look)


def _refused_first(story: Story) -> None:
    """A first run refuses without DNS; before the second one names were wrong for a moment."""
    _fault(story, 1.61, 1.68, f="dns_down", args={"how": "power"})
    plan = {"plan": 0, "procedure": "full_failover", "to": "region2", "steps": list(STEPS)}
    text = "dns is powered off: region2 cannot take over."
    story.add(1.64, "plan", type="invoke", **plan)
    for t, how in ((1.645, "invoke"), (1.65, "refused")):
        story.add(t, "step", type=how, plan=0, id="preflight", target="region2", text=text)
    story.add(1.66, "plan", type="refused", **plan)
    _fault(story, 1.7, 1.75, f="dns_answers", args={"how": "stale", "seconds": 3.0})


def _without_names(
    how: str = "servfail",
    *,
    healed: float | None = None,
    text: str = "DNS: cfgmaster-p.dr.internal: expected ['10.82.1.11'] served, got SERVFAIL.",
) -> Made:
    """The last step fails at 3.8 s; the DNS server does not answer from 3.32 s on."""

    def change(events: list[Data]) -> None:
        for data in events:
            last = data["kind"] == "step" and data["id"] == "reconnect" and data["type"] == "ok"
            if last or (data["kind"] == "plan" and data["type"] == "ok"):
                data.update(type="fail", text=text)

    def break_names(story: Story) -> None:
        _fault(story, 3.32, healed, f="dns_answers", args={"how": how, "seconds": 3.0})
        for event in story.events:
            if event.get("f") == "dns_answers":
                event["targets"] = ["dns"]

    return edited(change, first=break_names)


STORIES: Mapping[str, tuple[str, bool, Made]] = {
    "bad_l1_resolver_keeps_names": ("L1", True, told(_resolver_keeps, Plot(late=7.5))),
    "near_l1_resolver_keeps_names": ("L1", False, told(_resolver_keeps)),
    "near_t2_resolver_keeps_names": ("T2", False, told(_cached_for_long)),
    "bad_l1_too_late_after_a_refusal": ("L1", True, told(_refused_first, Plot(late=7.5))),
    "bad_p1_names_failed_after_the_heal": ("P1", True, _without_names(healed=3.6)),
    "bad_p1_names_were_told": ("P1", True, _without_names("truncated")),
    "bad_p1_failed_for_something_else": ("P1", True, _without_names(text="a proxy was limited")),
    "near_p1_failed_for_names": ("P1", False, _without_names(healed=3.95)),
    "near_l1_wrong_names_after_a_refusal": ("L1", False, told(_refused_first)),
}

"""What is wrong with a running Theke, as far as its status tells, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

LAG_EVENTS: Final = 5_000  # more than what a busy second makes
RESTARTS: Final = 5

RELAY_NEXT: Final[Mapping[str, str]] = {
    "ahead": "the log lost its tail, or an older dump was restored: nothing is written to it. Restore a newer dump if there is one; else "
    "`theke log new-life` goes on without what was lost",
    "diverged": "log and copy end in different events: nothing is written to the log. Restore a newer dump if there is one; else "
    "`theke log new-life` goes on with the log as it is",
    "gap": "rows are missing in the log. `theke verify` names the first; restore it from a backup",
    "failing": "JetStream, the keeper or the log's database does not answer; the relay goes on by itself when they do. Look at "
    "NATS and its disk: a NATS whose disk was full has to be restarted (an embedded one is, by itself)",
}


class Trouble(msgspec.Struct, frozen=True):
    """``what`` is wrong, and the ``next`` step."""

    what: str
    next: str


def wrong(processes: list[dict[str, Any]], services: Mapping[str, Any]) -> list[Trouble]:
    """From the parts of a status. What stands still comes before what is slow."""
    return [*_processes(processes), *_services(services)]


def _processes(processes: list[dict[str, Any]]) -> Iterator[Trouble]:
    for process in processes:
        if not process["alive"]:
            yield Trouble(f"{process['name']} is down", "it is being started again; its lines in the output of `theke up` say why it ended")
        elif process["restarts"] >= RESTARTS:
            yield Trouble(f"{process['name']} was restarted {process['restarts']} times", "its lines in the output of `theke up` say why")


def _services(services: Mapping[str, Any]) -> Iterator[Trouble]:
    for name, facts in services.items():
        if "error" in facts:
            yield Trouble(f"{name} does not answer: {facts['error']}", "its log can be read all the same: `theke events tail`")
            continue
        for instance, head in facts["heads"].items():
            yield from _log(name, instance, head, facts)
        yield from _stopped(name, facts)


def _log(service: str, instance: Any, head: int, facts: Mapping[str, Any]) -> Iterator[Trouble]:
    place = f"{service} i{instance}"
    for projection, places in facts["projections"].items():
        stands = places.get(instance, {"position": 0, "held": None})
        if stands["held"] is not None:
            called = f"{service}.{projection} --instance i{instance}"
            step = f"put right what is wrong, then `theke projections retry {called}`; or skip the event: `theke projections skip --help`"
            yield Trouble(f"{place}: {projection} is held: {stands['held']}", step)
        elif (lag := head - stands["position"]) > LAG_EVENTS:
            yield Trouble(
                f"{place}: {projection} lags {lag:,} events behind", "look again: if the number does not shrink, Postgres is slow or full"
            )
    state = facts["relay"].get(instance, {}).get("state", "copying")
    if state in RELAY_NEXT:
        yield Trouble(f"{place}: the copy in JetStream is {state}", RELAY_NEXT[state])


def _stopped(service: str, facts: Mapping[str, Any]) -> Iterator[Trouble]:
    """What a service does by itself and cannot do."""
    for feed in facts.get("processes", {}).get("feeds", ()):
        if feed.get("stopped_since") is not None:
            place = f" i{feed['instance']}" if feed["instance"] or feed.get("source") else ""
            hears = f", at {feed.get('position', 0):,} of {feed['source']}" if feed.get("source") else ""
            yield Trouble(
                f"{service}{place}: {feed['process']} is stopped{hears}: {feed['why']}",
                f"put right what is wrong; it is tried again by itself, or at once: `theke processes retry {service}.{feed['process']}`",
            )

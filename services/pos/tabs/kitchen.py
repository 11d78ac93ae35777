"""How far the kitchen or the bar is with an item. A course that was not called yet is held; calling it (Gang abrufen) lets it go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from libs.contracts.pos.floor import ItemState, SetKitchenState
from libs.contracts.pos.permissions import KITCHEN
from libs.contracts.pos.tab_events import KitchenState, KitchenStateSet
from libs.domain.decider import Command, CommandType, Decision, States
from libs.domain.events import Recorded
from services.pos.facts import SaleFacts
from services.pos.faults import Faults
from services.pos.tabs.lines import at_its_table, check_untouched, find_line, line_facts, line_refs
from services.pos.tabs.state import TAB, tab_of

# an item goes on, may skip a step, can be recalled by any number of them, and may be reported again as it is
STEPS: Final = (KitchenState.ORDERED, KitchenState.PREPARING, KitchenState.READY, KitchenState.SERVED)
MAY_BECOME: Final[Mapping[KitchenState, tuple[KitchenState, ...]]] = {KitchenState.HELD: (), **dict.fromkeys(STEPS, STEPS)}


def decide_set_state(states: States, command: Command[SetKitchenState], facts: SaleFacts) -> Decision:
    body = command.body
    faults = Faults()
    if body.state not in STEPS:
        faults.invalid("status", "not_allowed", allowed=", ".join(STEPS))
    check_untouched(states, command)
    line = find_line(states, body.line, body.table, faults)
    if line is not None and body.state in STEPS and body.state not in MAY_BECOME[tab_of(states, body.table).kitchen_state(line)]:
        faults.conflict("line", "line_held", id=body.line, course=line.line.course or 0)
    faults.refuse()
    event = KitchenStateSet(table=body.table, line=body.line, state=body.state, staff=command.principal.user, at=command.at)
    return Decision({TAB.stream(body.table): (event,)})


def reply_state(states: States, command: Command[SetKitchenState], recorded: Sequence[Recorded]) -> ItemState:
    event: KitchenStateSet = recorded[0].data
    return ItemState(line=event.line, table=event.table, state=event.state, at=event.at, version=recorded[0].version)


COMMANDS: Final = (
    CommandType(
        name="tab.set_kitchen_state",
        body=SetKitchenState,
        streams=line_refs,
        complete=at_its_table,
        facts=line_facts,
        decide=decide_set_state,
        reply=reply_state,
        permission=KITCHEN,
    ),
)

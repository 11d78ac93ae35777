"""The tab: a stream per table with everything open at it. Its state is one module, each kind of decision about it another."""

from __future__ import annotations

from typing import Final

from services.pos.tabs import kitchen, lines, moving, orders, waiting
from services.pos.tabs.orders import line_keys
from services.pos.tabs.state import TAB, Tab, TabLine, check_table, state_after, tab_of, tab_refs

COMMANDS: Final = (*orders.COMMANDS, *lines.COMMANDS, *kitchen.COMMANDS, *moving.COMMANDS, *waiting.COMMANDS)

__all__ = ["COMMANDS", "TAB", "Tab", "TabLine", "check_table", "line_keys", "state_after", "tab_of", "tab_refs"]

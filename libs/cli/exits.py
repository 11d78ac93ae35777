"""Exit codes, the same for every subcommand."""

from typing import Final

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_RUNNING: Final = 3
IN_USE: Final = 4
BROKEN: Final = 5  # what was to be proved does not hold

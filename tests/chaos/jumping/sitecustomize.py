"""With this directory in PYTHONPATH the clock of a Python process can be moved while it runs."""

from tests.chaos import clocks

clocks.become_movable()

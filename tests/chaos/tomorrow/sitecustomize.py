"""With this directory in PYTHONPATH every Python process is one of Theke's next version, as far as a roll-out can tell."""

from tests.chaos import next_version

next_version.become()

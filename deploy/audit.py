"""``make audit``: known holes in the pinned dependencies. Asks the advisory service by way of pip-audit; where that cannot be reached,
looks into ``deploy/advisories.toml``, and says how old that is. Exit code 0: none known, 1: some, 2: none known, but nobody could be
asked and the list is older than OLD_DAYS."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
REQUIREMENTS = PROJECT / "requirements-dev.txt"  # holds what requirements.txt does, and what builds and tests
ADVISORIES = PROJECT / "deploy" / "advisories.toml"
ASK_WITHIN_S = 180
OLD_DAYS = 90
_PINNED = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s\\;]+)", re.MULTILINE)


@dataclass(frozen=True)
class Hole:
    package: str
    version: str
    id: str
    what: str


class Unanswered(Exception):
    """No advisory service could be asked."""


def pinned(text: str) -> dict[str, str]:
    """package → version, of a file of requirements."""
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in _PINNED.findall(text)}


def older(version: str, fixed: str) -> bool:
    """By the numbers of the release; what comes before a release counts as the release."""
    return _release(version) < _release(fixed)


def _release(version: str) -> tuple[int, ...]:
    numbers = re.match(r"\d+(?:\.\d+)*", version)
    assert numbers is not None, version
    found = [int(number) for number in numbers[0].split(".")]
    while len(found) > 1 and found[-1] == 0:
        found.pop()
    return tuple(found)


def listed(packages: dict[str, str], advisories: list[dict[str, str]]) -> list[Hole]:
    """What the list knows of these versions."""
    return [
        Hole(one["package"], packages[one["package"]], one["id"], f"{one['what']}; fixed in {one['fixed']}")
        for one in advisories
        if one["package"] in packages and older(packages[one["package"]], one["fixed"])
    ]


def answered(output: str) -> list[Hole]:
    """What pip-audit found. Raises Unanswered if this is no answer: where an index knows no advisories, packages are skipped, and nothing
    would seem to be wrong with any."""
    try:
        dependencies = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        raise Unanswered(output[:200]) from None
    if skipped := [one["name"] for one in dependencies if "skip_reason" in one]:
        raise Unanswered(f"{len(skipped)} packages were not looked up")
    return [
        Hole(one["name"], one["version"], hole["id"], "; ".join(hole.get("fix_versions") or ["no version without it"]))
        for one in dependencies
        for hole in one["vulns"]
    ]


def asked() -> list[Hole]:
    wanted = ["-r", str(REQUIREMENTS), "--disable-pip", "--require-hashes"]
    command = [sys.executable, "-m", "pip_audit", *wanted, "-f", "json", "--progress-spinner=off"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=ASK_WITHIN_S, check=False)
    except subprocess.TimeoutExpired:
        raise Unanswered("no answer in time") from None
    return answered(ran.stdout)


def main() -> int:
    try:
        holes, source, old = asked(), "the advisory service", False
    except Unanswered:
        known = tomllib.loads(ADVISORIES.read_text())
        age = age_days(known["as_of"], datetime.now(UTC).date())
        holes = listed(pinned(REQUIREMENTS.read_text()), known["advisory"])
        source, old = f"deploy/advisories.toml, which is {age} days old: no advisory service could be reached", age > OLD_DAYS
    for hole in holes:
        print(f"{hole.package} {hole.version}: {hole.id}: {hole.what}")
    print(f"{len(holes) or 'no'} known holes, by {source}")
    return 1 if holes else 2 if old else 0


def age_days(as_of: date, today: date) -> int:
    return (today - as_of).days


if __name__ == "__main__":
    sys.exit(main())

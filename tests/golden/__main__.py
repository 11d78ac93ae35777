"""``python -m tests.golden``: writes what is missing and adds optional fields that are new, changes nothing else that is there. Exit code 1
if a shape changed otherwise under its version."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from libs.runtime import schemas
from libs.runtime.published import published_events
from tests.golden import declared_events, extends, file_of, golden
from tests.golden.schemas import differences


def main() -> int:
    changed = 0
    for type_, cls in declared_events().items():
        changed += _write(file_of(type_, cls.VERSION), golden(cls), lambda kept, present: extends(present, kept))
    for events in published_events().values():
        for type_, cls in events.items():
            changed += _write(
                schemas.file_of(type_, cls.VERSION), schemas.schema_of(cls), lambda kept, present: not differences(kept, present)
            )
    return 1 if changed else 0


def _write(file: Path, present: dict[str, Any], fits: Callable[[Any, Any], bool]) -> int:
    """How many were refused: 1 or 0."""
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    place = f"schemas/{file.name}" if file.parent == schemas.FOLDER else file.name
    if kept is None or (kept != present and fits(kept, present)):
        file.write_text(json.dumps(present, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
        sys.stdout.write(f"{'new     ' if kept is None else 'extended'} {place}\n")
    elif kept != present:
        sys.stdout.write(f"REFUSED  {place}: raise the event's version and write an upcaster\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

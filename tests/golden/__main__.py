"""``python -m tests.golden``: writes what is missing and adds optional fields that are new, changes nothing else that is there. Exit code 1
if a shape changed otherwise under its version."""

from __future__ import annotations

import json
import sys

from tests.golden import declared_events, extends, file_of, golden


def main() -> int:
    changed = 0
    for type_, cls in declared_events().items():
        file, present = file_of(type_, cls.VERSION), golden(cls)
        kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
        if kept is None or (kept != present and extends(present, kept)):
            file.write_text(json.dumps(present, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
            sys.stdout.write(f"{'new     ' if kept is None else 'extended'} {file.name}\n")
        elif kept != present:
            changed += 1
            sys.stdout.write(f"REFUSED  {file.name}: raise the event's version and write an upcaster\n")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())

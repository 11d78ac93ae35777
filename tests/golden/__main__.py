"""``python -m tests.golden``: writes what is missing, changes nothing that is there. Exit code 1 if a shape changed under its version."""

from __future__ import annotations

import json
import sys

from tests.golden import declared_events, file_of, golden


def main() -> int:
    changed = 0
    for type_, cls in declared_events().items():
        file, present = file_of(type_, cls.VERSION), golden(cls)
        if not file.exists():
            file.write_text(json.dumps(present, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
            sys.stdout.write(f"new      {file.name}\n")
        elif json.loads(file.read_text(encoding="utf-8")) != present:
            changed += 1
            sys.stdout.write(f"REFUSED  {file.name}: raise the event's version and write an upcaster\n")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())

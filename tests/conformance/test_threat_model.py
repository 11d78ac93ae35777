"""Every control that the threat model names has a test that is there."""

from __future__ import annotations

import ast
import re
from typing import Final

from libs.runtime.config import PROJECT

MODEL: Final = (PROJECT / "docs" / "explanation" / "threat-model.md").read_text()
TEST: Final = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def rows() -> list[str]:
    """The rows of tables with the column of tests."""
    found, wanted = [], False
    for line in MODEL.splitlines():
        if line.startswith("| threat |"):
            wanted = True
        elif not line.startswith("|"):
            wanted = False
        elif wanted and not line.startswith("|---"):
            found.append(line)
    return found


def test_every_threat_has_a_control_and_a_test_that_is_there() -> None:
    assert len(rows()) > 20
    for row in rows():
        threat, control, tests = (cell.strip() for cell in row.strip("|").split("|"))
        assert threat, row
        assert control, row
        named = TEST.findall(tests)
        assert named, f"nothing tests: {threat}"
        for path, name in named:
            file = PROJECT / path
            assert file.exists(), path
            tree = ast.parse(file.read_text())
            functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
            assert name in functions if name else any(one.startswith("test_") for one in functions), (path, name)

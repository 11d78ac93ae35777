"""Alert rules name what exists: metrics, labels, and a paragraph that says what to do."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

from libs.cli.metrics import metrics
from libs.runtime.config import PROJECT

RULES: Final[list[dict[str, Any]]] = [
    rule for group in YAML(typ="safe").load(PROJECT / "deploy" / "alerts.yaml")["groups"] for rule in group["rules"]
]
GUIDE: Final = (PROJECT / "docs" / "how-to" / "observe.md").read_text()
OF_A_TARGET: Final = {"job", "process", "instance", "le"}
DECLARED: Final = {one.name: one for one in metrics()}


def named(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:theke_\w+|up)\b", expression))


def declared(series: str) -> Any:
    for end in ("", "_bucket", "_sum", "_count"):
        base = series.removesuffix(end) if end else series
        if base in DECLARED and (not end or DECLARED[base].kind == "histogram"):
            return DECLARED[base]
    return None


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_rests_on_metrics_that_are_exported(rule: dict[str, Any]) -> None:
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    series = named(rule["expr"])
    assert series
    found = {name: declared(name) for name in series - {"up"}}
    assert None not in found.values(), found
    labels = {label for one in found.values() for label in one.labels} | OF_A_TARGET
    used = {label.strip() for group in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in group.split(",")}
    used |= set(re.findall(r"(\w+)=~?\"", rule["expr"])) | set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert used <= labels, used - labels
    for name, one in found.items():
        if one.kind == "counter" or name.endswith("_bucket"):
            assert re.search(rf"(?:rate|increase)\({name}", rule["expr"]), f"{name} only ever grows"
    assert rule["labels"]["severity"] in {"critical", "warning"}


def test_the_check_would_notice_a_metric_that_is_gone() -> None:
    assert declared("theke_append_seconds_bucket") is not None
    assert declared("theke_append_minutes_bucket") is None
    assert declared("theke_bus_connected_count") is None


def test_every_alert_is_explained_and_every_explanation_has_its_alert() -> None:
    assert [rule["alert"] for rule in RULES] == sorted({rule["alert"] for rule in RULES}, key=[rule["alert"] for rule in RULES].index)
    assert set(re.findall(r"^### (\w+)$", GUIDE, re.MULTILINE)) == {rule["alert"] for rule in RULES}


def test_numbers_in_the_guide_are_those_of_the_code() -> None:
    from libs.eventstore.batcher import QUEUE_MAX_COMMANDS
    from libs.runtime.operations import LAG_MAX_EVENTS, LIVE_WITHIN_S

    assert f"{QUEUE_MAX_COMMANDS:,} waiting commands" in GUIDE
    assert f"more than {LAG_MAX_EVENTS:,} events behind" in GUIDE
    assert f"may stand still for {LIVE_WITHIN_S:.0f} s" in GUIDE

"""Every metric that a process of Theke shows, from where it is declared."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Final

import msgspec
from prometheus_client.metrics import MetricWrapperBase

from libs.runtime.measures import FAMILIES, Family

# libraries do not know services, so what is measured there is looked up by name
COUNTED: Final = ("libs.eventstore.measures", "libs.projections.measures", "services.auth.webhooks.measures", "services.gateway.measures")


class Declared(msgspec.Struct, frozen=True, order=True):
    """``kind``: counter, gauge or histogram; ``labels`` without those that a kind has anyway."""

    name: str
    kind: str
    labels: tuple[str, ...]
    what: str


def metrics() -> list[Declared]:
    """All of Theke's own, by name."""
    gateway = importlib.import_module("services.gateway.measures").FAMILIES
    return sorted([*_counted(), *(_found(name, family) for name, family in {**FAMILIES, **gateway}.items())])


def _found(name: str, family: Family) -> Declared:
    return Declared(name, "counter" if name.endswith("_total") else "gauge", family.labels, family.what)


def _counted() -> Iterator[Declared]:
    for module in COUNTED:
        for metric in vars(importlib.import_module(module)).values():
            if isinstance(metric, MetricWrapperBase):
                [described] = metric.describe()
                name = f"{described.name}_total" if described.type == "counter" else described.name
                yield Declared(name, described.type, tuple(metric._labelnames), described.documentation)

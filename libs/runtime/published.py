"""The published language as one catalogue: every event that leaves Theke, by the service that publishes it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache

import libs.contracts
from libs.domain.events import Event, known_events
from libs.runtime.config import SERVICES
from libs.runtime.publishing import PUBLISHED_IN


@cache
def published_events() -> Mapping[str, Mapping[str, type[Event]]]:
    """Service → type → event, in the order of their names. All contracts are imported for it."""
    for module in pkgutil.walk_packages(libs.contracts.__path__, PUBLISHED_IN):
        importlib.import_module(module.name)
    found: dict[str, dict[str, type[Event]]] = {}
    for type_, cls in sorted(known_events().items()):
        if cls.__module__.startswith(PUBLISHED_IN):
            for service in services_of(cls):
                found.setdefault(service, {})[type_] = cls
    return dict(sorted(found.items()))


def services_of(event: type[Event]) -> tuple[str, ...]:
    """In whose logs a published event is: that of the service whose contracts declare it; what no service's do is in every log."""
    service, declared, _ = event.__module__.removeprefix(PUBLISHED_IN).partition(".")
    return (service,) if declared else SERVICES


@cache
def published_types(service: str) -> frozenset[str]:
    """Empty for a service that there is not."""
    return frozenset(published_events().get(service, ()))

"""What a permission of a group may be about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from libs.contracts.auth.modules import MODULES
from libs.domain.errors import FieldError


def check_permission(values: Mapping[str, Any]) -> Iterable[FieldError]:
    if values["identifier"] not in MODULES:
        yield FieldError("identifier", "not_allowed", {"allowed": ", ".join(MODULES)})

"""The tag under which a version of a record is known to clients of any dialect."""

from __future__ import annotations

from hashlib import md5

ETAG_CHARS = 32


def etag(instance: int, type_: str, id_: int | str, version: int) -> str:
    """The same for the same version of the same record of an instance, and for nothing else."""
    return md5(f"{instance}/{type_}/{id_}/{version}".encode(), usedforsecurity=False).hexdigest()

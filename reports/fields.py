"""The fields of a record, checked where they are read."""

from pathlib import Path
from typing import Any

from bakeoff.errors import BakeoffError
from bakeoff.records import Row


def need(row: Row, key: str, file: Path, kind: type[Any] | tuple[type[Any], ...]) -> Any:
    """The value of a field.

    Raises:
        BakeoffError: it is missing or of another kind.
    """
    value = row.get(key)
    if not isinstance(value, kind):
        raise BakeoffError(
            f"{file}: {key!r} is {value!r}, expected {getattr(kind, '__name__', 'a number')}; "
            "the record was written by another version or by hand"
        )
    return value

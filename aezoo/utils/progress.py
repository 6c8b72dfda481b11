"""Progress bars for whatever turns out to take longer than two seconds."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

_Item = TypeVar("_Item")


def with_progress(
    items: Iterable[_Item],
    description: str = "",
    unit: str = "batch",
    total: int | None = None,
) -> Iterator[_Item]:
    """Iterate over `items`; a bar appears on a terminal after two seconds."""
    return iter(progress_bar(description, unit, total, items))


def progress_bar(
    description: str = "",
    unit: str = "batch",
    total: int | None = None,
    items: Iterable[Any] | None = None,
) -> Any:
    """Such a bar of tqdm, a context manager to `update` by more than one at a time."""
    from tqdm.auto import tqdm

    return tqdm(
        items,
        desc=description,
        unit=unit,
        total=total,
        delay=2,
        leave=False,
        disable=None,
    )

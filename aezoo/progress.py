"""Progress bars for whatever turns out to take longer than two seconds."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

_Item = TypeVar("_Item")


def with_progress(
    items: Iterable[_Item],
    description: str = "",
    unit: str = "batch",
    total: int | None = None,
) -> Iterator[_Item]:
    """Iterate over `items`; a bar appears on a terminal after two seconds."""
    from tqdm.auto import tqdm

    return iter(
        tqdm(
            items,
            desc=description,
            unit=unit,
            total=total,
            delay=2,
            leave=False,
            disable=None,
        )
    )

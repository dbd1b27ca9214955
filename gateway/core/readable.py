"""What of a faulty event can still be read: so that a person is told the faults of its rules beside those of its shape, all at once.

What is faulty is taken out; the rest has the types the schema promises, though parts may be missing, which no rule minds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

PARTS: Final = ("handling", "routing", "subject", "body")  # without these four nothing can be judged


def readable(event: Mapping[str, Any], faulty: Iterable[str]) -> Mapping[str, Any] | None:
    """Return `event` without the nodes that `faulty` JSON Pointers name, or None where too little is left.

    In a list an object becomes an empty one, so that the places of the others stay; a list of anything else goes as a whole.
    """
    left = _copy(event)
    for pointer in faulty:
        _take_out(left, [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]])
    return left if all(isinstance(left.get(part), dict) for part in PARTS) else None


def touches(pointer: str | None, faulty: Iterable[str]) -> bool:
    """Say whether a pointer is at or below a faulty place, or above one: what is said of it may come from what was taken out."""
    if pointer is None:
        return False
    return any(_within(pointer, place) or _within(place, pointer) for place in faulty)


def _within(pointer: str, place: str) -> bool:
    return pointer == place or pointer.startswith(f"{place}/")


def _copy(node: Any) -> Any:
    if isinstance(node, dict):
        return {name: _copy(value) for name, value in node.items()}
    return [_copy(item) for item in node] if isinstance(node, list) else node


def _take_out(node: Any, path: Sequence[str]) -> None:
    """Take the node at `path` out; a path that leads nowhere names something missing."""
    holder, name = None, ""
    for depth, part in enumerate(path):
        last = depth == len(path) - 1
        if isinstance(node, dict) and part in node:
            holder, name = node, part
            if last:
                del node[part]
                return
            node = node[part]
        elif isinstance(node, list) and part.isdigit() and int(part) < len(node):
            if last or not isinstance(node[int(part)], dict | list):
                _empty(node, int(part), holder, name)
                return
            node = node[int(part)]
        else:
            return


def _empty(items: list[Any], index: int, holder: dict[str, Any] | None, name: str) -> None:
    if isinstance(items[index], dict):
        items[index] = {}
    elif holder is not None:
        holder.pop(name, None)

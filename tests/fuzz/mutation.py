"""Change a document of JSON somewhere."""

import json
import random
from collections.abc import Sequence
from typing import Any


def copied(value: Any) -> Any:
    """Return a deep copy."""
    return json.loads(json.dumps(value))


def change_one(places: Sequence[tuple[Any, Any]], odd: Sequence[Any], rng: random.Random) -> None:
    """Change, remove, replace by another or double the value at one of some places."""
    (node, key), (other, other_key) = rng.choice(places), rng.choice(places)
    action = rng.randrange(4)
    if action == 0:
        node[key] = rng.choice(odd)
    elif action == 1:
        del node[key]
    elif action == 2:
        node[key] = copied(other[other_key])
    else:
        value = node[key]
        node[key] = value * 2 if isinstance(value, int | str | list) else rng.choice(odd)


def places(node: Any) -> list[tuple[Any, Any]]:
    """Return every place in a JSON document, as its container and its key there."""
    found, waiting = [], [node]
    while waiting:
        one = waiting.pop()
        for key in list(one) if isinstance(one, dict) else range(len(one)):
            found.append((one, key))
            if isinstance(one[key], dict | list) and len(one[key]) < 64:
                waiting.append(one[key])
    return found

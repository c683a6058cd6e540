"""What a request takes in memory once it is read, which its bytes do not tell."""

from __future__ import annotations

import sys
from typing import Any

#: A number that is no small one, with its place in a list.
_NUMBER = 32


def weight(value: Any) -> int:
    """Bytes. A picture of a face among English words makes each of their letters four bytes wide."""
    total, boxes = 0, [[value]]
    while boxes:
        box: Any = boxes.pop()
        total += sys.getsizeof(box)
        if box.__class__ is dict:
            total += sum(map(sys.getsizeof, box))
        for inner in box.values() if box.__class__ is dict else box:
            kind = inner.__class__
            if kind is str:
                total += sys.getsizeof(inner)
            elif kind is dict or kind is list:
                boxes.append(inner)
            else:
                total += _NUMBER
    return total

"""Bags of identities at eight bytes each, so that a file of a million prompts can be checked for duplicates."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from hashlib import blake2b

BUCKETS = 256


def fingerprint(data: bytes) -> int:
    """64 bits of blake2b: among a million different things two share one with a chance of about 1 in 37 million."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")


class Digests:
    """A bag of fingerprints. Fill it first, ask later: the first question after an `add` sorts it.

    256 buckets by the top byte, because an array grows by copying and sorting makes Python numbers of it: both then
    touch a 256th of the whole at a time, and the peak stays near the eight bytes.
    """

    __slots__ = ("_buckets", "_frozen")

    def __init__(self) -> None:
        self._buckets = [array("Q") for _ in range(BUCKETS)]
        self._frozen = True

    def add(self, data: bytes) -> None:
        mark = int.from_bytes(blake2b(data, digest_size=8).digest(), "big")  # `fingerprint`, without its call
        self._buckets[mark >> 56].append(mark)
        self._frozen = False

    def freeze(self) -> None:
        """Sorts, bucket by bucket; nothing to do where nothing was added since."""
        if not self._frozen:
            for i, bucket in enumerate(self._buckets):
                self._buckets[i] = array("Q", sorted(bucket))
            self._frozen = True

    def duplicates(self) -> Digests:
        """The fingerprints that stand more than once, each once, as a bag of their own."""
        found = Digests()
        for i, bucket in enumerate(self._buckets):
            if len(set(bucket)) != len(bucket):
                found._buckets[i] = array("Q", sorted(_again(bucket)))
        return found

    def place(self, mark: int) -> tuple[int, int] | None:
        """Where a fingerprint stands (bucket, first position), None if it is not here."""
        self.freeze()
        bucket = self._buckets[mark >> 56]
        at = bisect_left(bucket, mark)
        return (mark >> 56, at) if at < len(bucket) and bucket[at] == mark else None

    def __contains__(self, data: bytes) -> bool:
        return self.place(fingerprint(data)) is not None

    def __len__(self) -> int:
        return sum(map(len, self._buckets))

    def sizes(self) -> list[int]:
        return [len(bucket) for bucket in self._buckets]

    def __repr__(self) -> str:
        return f"<digests {len(self)}>"


def _again(bucket: array[int]) -> set[int]:
    """What stands twice. No sorting: where a million lines are the same, one bucket holds them all."""
    seen: set[int] = set()
    again: set[int] = set()
    for mark in bucket:
        (again if mark in seen else seen).add(mark)
    return again


class Notes:
    """A whole number beside each fingerprint of a bag, 0 until it is set; fingerprints outside the bag have none."""

    __slots__ = ("_bag", "_values")

    def __init__(self, bag: Digests):
        self._bag = bag
        self._values = [array("Q", bytes(8 * n)) for n in bag.sizes()]

    def first(self, mark: int, value: int) -> int | None:
        """The number that was set first, which is this one if none was; None outside the bag."""
        place = self._bag.place(mark)
        if place is None:
            return None
        bucket, at = place
        self._values[bucket][at] = self._values[bucket][at] or value
        return self._values[bucket][at]

    def count(self, mark: int) -> int:
        """How often this fingerprint has been counted, this time included; 0 outside the bag."""
        place = self._bag.place(mark)
        if place is None:
            return 0
        bucket, at = place
        self._values[bucket][at] += 1
        return self._values[bucket][at]

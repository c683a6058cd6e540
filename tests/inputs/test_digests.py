"""Eight bytes a prompt: what the check for duplicates rests on."""

from __future__ import annotations

import tracemalloc
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from llmfan.inputs.digests import Digests, Notes, fingerprint

WORDS = st.lists(st.binary(max_size=2), max_size=300)


def bag(words: list[bytes]) -> Digests:
    digests = Digests()
    for word in words:
        digests.add(word)
    return digests


@given(WORDS, WORDS)
def test_a_bag_knows_what_was_put_in_and_nothing_else(put: list[bytes], asked: list[bytes]) -> None:
    """Else a finished job is sent again, or one that never ran is taken for finished."""
    digests = bag(put)
    assert [word in digests for word in asked] == [word in put for word in asked]
    assert len(digests) == len(put)


@given(WORDS)
def test_duplicates_are_exactly_those_that_stand_twice(words: list[bytes]) -> None:
    """Else two results share an id, or a good file is refused."""
    twice = {word for word, n in Counter(words).items() if n > 1}
    found = bag(words).duplicates()
    assert len(found) == len(twice)
    assert all((word in found) == (word in twice) for word in words)


@given(WORDS)
def test_counts_go_up_by_one_for_each_time_met(words: list[bytes]) -> None:
    """The counter is part of an id: `-2`, `-3` must come in the order of the file."""
    counts, seen = Notes(bag(words).duplicates()), Counter[bytes]()
    several = Counter(words)
    for word in words:
        seen[word] += 1
        assert counts.count(fingerprint(word)) == (seen[word] if several[word] > 1 else 0)


def test_the_first_note_stays_and_strangers_get_none() -> None:
    """A duplicate id is reported with the line that had it first, not with the one before."""
    notes = Notes(bag([b"a", b"a"]).duplicates())
    assert [notes.first(fingerprint(b"a"), line) for line in (4, 7, 9)] == [4, 4, 4]
    assert notes.first(fingerprint(b"b"), 1) is None


def test_a_word_added_after_a_question_is_found() -> None:
    """A bag that stayed sorted as it was would deny what came later."""
    digests = bag([b"a"])
    assert b"b" not in digests
    digests.add(b"b")
    assert b"b" in digests and b"a" in digests


def test_a_hundred_thousand_take_ten_bytes_each_at_their_peak() -> None:
    """The promise is 32 bytes a prompt for everything together; a set of ints would take sixty for this alone."""
    tracemalloc.start()
    try:
        digests = Digests()
        for i in range(100_000):
            digests.add(b"%d" % i)
        digests.freeze()
        assert len(digests.duplicates()) == 0
        assert tracemalloc.get_traced_memory()[1] < 10 * 100_000 + 200_000
    finally:
        tracemalloc.stop()

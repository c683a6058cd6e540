"""A prompt set: checked whole before anything is sent, then streamed from disk as often as it is wanted."""

from __future__ import annotations

import hashlib
import random
from array import array
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO, Protocol

from llmfan.errors import Fault, InputFaults
from llmfan.inputs.checking import Check
from llmfan.inputs.digests import Digests
from llmfan.inputs.jsontext import Misfit
from llmfan.inputs.linefile import LineFile, Opened, open_prompts
from llmfan.inputs.reading import Reader
from llmfan.inputs.shapes import ReadOptions
from llmfan.records import Prompt

__all__ = ["PromptSet", "ReadOptions", "check_prompts"]

#: Small, because in a comparison every provider reads the file for itself, all at once.
_STREAM_CHUNK = 64 * 1024


def check_prompts(
    path: str,
    options: ReadOptions | None = None,
    *,
    shuffle: bool = False,
    spool_dir: str | None = None,
    stdin: BinaryIO | None = None,
    done: Digests | None = None,
) -> PromptSet:
    """Reads the whole file once and raises all its faults at once, or gives it back ready to be streamed.

    `shuffle` keeps where each line starts, which a shuffled order needs. `-` and pipes are spooled to
    `spool_dir/prompts.jsonl` first. `done` are ids (UTF-8) with a result already; the set then counts how many of its
    own are among them.
    """
    reader = Reader(options or ReadOptions())
    opened = None
    try:
        opened = open_prompts(path, spool_dir, stdin)
        check = Check(opened.lines, reader, shuffle=shuffle, done=done)
        digest = hashlib.sha256()
        check.run(digest.update if opened.sha256 is None else None)
        return PromptSet(path, opened, opened.sha256 or digest.hexdigest(), reader, check)
    except OSError as e:
        name = "stdin" if path == "-" else path
        raise InputFaults([Fault(name, 0, f"cannot be read: {e.strerror or e}")]) from None
    except InputFaults:
        if opened is not None:
            opened.lines.close()
        raise


class Ids(Protocol):
    """Anything that knows ids by their UTF-8 bytes, such as `Digests` or a set."""

    def __contains__(self, data: bytes, /) -> bool: ...


class PromptSet:
    """A checked prompt set. Nothing of it is in memory but a few bytes a prompt; `prompts` reads it from disk.

    `size` and `sha256` are of the raw file (packed, if it is); `characters` of the text as it will be sent;
    `requests` counts each turn; `expecting` the prompts with an expected answer; `done` those with a result already.
    """

    def __init__(self, path: str, opened: Opened, sha256: str, reader: Reader, check: Check):
        self.path, self.size, self.sha256 = path, opened.size, sha256
        self.count, self.requests = check.count, check.requests
        self.expecting, self.done = check.expecting, check.done
        self.characters = check.characters
        self._file: LineFile = opened.lines
        self._reader, self._places, self._repeats = reader, check.places, check.repeats
        self._orders: dict[int, array[int]] = {}

    @property
    def mean_characters(self) -> float:
        return self.characters / self.count

    def prompts(
        self, limit: int | None = None, shuffle: bool = False, seed: int = 0, skip: Ids | None = None
    ) -> Iterator[Prompt]:
        """The first `limit` prompts of the file's order, or of a seeded one, without those to `skip` by id.

        The limit counts what is skipped, so a run that is resumed under the same limit ends where it would have.
        Any number of these may run at once.
        """
        if shuffle and self._places is None:
            raise ValueError("the prompt set was checked without shuffle=True")
        first = islice(self._shuffled(seed) if shuffle else self._in_order(), limit)
        return first if skip is None else (p for p in first if p.id.encode() not in skip)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> PromptSet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<prompt set {self.path}: {self.count} prompts>"

    def _in_order(self) -> Iterator[Prompt]:
        count = 0
        for number, line in enumerate(self._file.lines(chunk=_STREAM_CHUNK)):
            prompt = self._read(line, number)
            if prompt is not None:
                count += 1
                yield prompt
        if count != self.count:
            raise self._file.changed()

    def _shuffled(self, seed: int) -> Iterator[Prompt]:
        assert self._places is not None
        for k in self._order(seed):
            number, offset = self._places[k]
            prompt = self._read(self._file.line_at(offset), number)
            if prompt is None:
                raise self._file.changed()
            yield prompt

    def _read(self, line: bytes | None, number: int) -> Prompt | None:
        try:
            prompt = self._reader.read(line) if line is not None else None
        except Misfit:
            raise self._file.changed() from None
        return None if prompt is None else self._reader.finish(prompt, number, self._repeats.ordinal(number))

    def _order(self, seed: int) -> array[int]:
        """The permutation of a seed, made once however many providers read by it: four bytes a prompt."""
        if seed not in self._orders:
            order = array("I", range(self.count))
            random.Random(f"prompts:{seed}").shuffle(order)
            self._orders = {seed: order}
        return self._orders[seed]

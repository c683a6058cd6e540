"""The pass over a whole prompt set that comes before anything is sent, and a second one where ids may clash."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator

from llmfan.errors import Fault, InputFaults
from llmfan.inputs.digests import Digests, Notes, fingerprint
from llmfan.inputs.jsontext import BOM, Misfit, shown
from llmfan.inputs.linefile import LineFile
from llmfan.inputs.reading import Reader, made_id
from llmfan.records import Prompt

_TOO_LONG = "longer than 16 MiB; no server takes such a prompt, so it is probably not meant as one line"
_VERIFIED = 1000


class FaultList:
    """Counts every fault and keeps the first few of each pass: a file may have a million."""

    def __init__(self, file: str):
        self._file = file
        self._kept: list[Fault] = []
        self._room = InputFaults.SHOWN
        self.count = 0

    def add(self, line: int, field: str, message: str) -> None:
        self.count += 1
        if self._room > 0:
            self._room -= 1
            self._kept.append(Fault(self._file, line, message, field))

    def next_pass(self) -> None:
        self._room = InputFaults.SHOWN

    def settle(self) -> None:
        if self.count:
            kept = sorted(self._kept)[: InputFaults.SHOWN]
            more = self.count - len(kept)
            raise InputFaults(kept, f"… and {more} more fault{'s' if more > 1 else ''}" if more else "")


class Places:
    """Where each prompt starts and on which line it stands: 8 bytes a prompt, 12 once there are blank lines."""

    def __init__(self) -> None:
        self._offsets = array("Q")
        self._lines: array[int] | None = None

    def add(self, line: int, offset: int) -> None:
        if self._lines is None and line != len(self._offsets):
            self._lines = array("I", range(len(self._offsets)))
        if self._lines is not None:
            self._lines.append(line)
        self._offsets.append(offset)

    def __getitem__(self, k: int) -> tuple[int, int]:
        """(line from 0, offset) of the k-th prompt."""
        return k if self._lines is None else self._lines[k], self._offsets[k]


class Repeats:
    """Which lines say again what an earlier line said, and the how manieth time."""

    def __init__(self) -> None:
        self._lines = array("I")
        self._ordinals = array("I")

    def add(self, line: int, ordinal: int) -> None:
        self._lines.append(line)
        self._ordinals.append(ordinal)

    def ordinal(self, line: int) -> int:
        at = bisect_left(self._lines, line)
        return self._ordinals[at] if at < len(self._lines) and self._lines[at] == line else 1


class Check:
    """What the passes find out: counts, places, repeats. `run` raises all faults of the file at once."""

    def __init__(self, file: LineFile, reader: Reader, *, shuffle: bool, done: Digests | None):
        self._file, self._reader, self._done = file, reader, done
        self._faults = FaultList(file.name)
        self._given, self._made = Digests(), Digests()
        self.places = Places() if shuffle else None
        self.repeats = Repeats()
        self.count = self.requests = self.expecting = self.characters = self.done = 0

    def run(self, tap: Callable[[bytes], None] | None) -> None:
        self._first_pass(tap)
        for misfit in self._reader.never_met():
            self._note(0, misfit)
        if not self.count and not self._faults.count:
            self._faults.add(0, "", "is empty: there is no prompt in it")
        given, made = self._given.duplicates(), self._made.duplicates()
        mixed = bool(len(self._given) and len(self._made))
        self._made = Digests()  # its memory is wanted for what follows
        if len(given) or len(made) or mixed or self._done:
            self._faults.next_pass()
            self._second_pass(given, made)
        self._faults.settle()
        self._given = Digests()

    def _first_pass(self, tap: Callable[[bytes], None] | None) -> None:
        """The hot loop: a million lines in a few seconds, so everything it touches is local."""
        read, given, made, places = self._reader.read, self._given, self._made, self.places
        content, count_characters = self._reader.content, self._reader.characters
        number, offset, count, requests, expecting, characters = 0, 0, 0, 0, 0, 0
        for number, line in enumerate(self._file.lines(tap=tap)):
            try:
                prompt = read(line) if line is not None else self._too_long(number)
            except Misfit as misfit:
                if not count and not self._faults.count:
                    self._look_at_first(number, line or b"")
                self._note(number + 1, misfit)
                prompt = None
            if prompt is not None:
                count += 1
                requests += 1 + len(prompt.turns)
                expecting += prompt.expect is not None
                characters += count_characters(prompt)
                if prompt.id:
                    given.add(prompt.id.encode())
                else:
                    made.add(content(prompt))
                if places is not None:
                    places.add(number, offset)
            offset += len(line or b"") + 1
        self.count, self.requests, self.expecting, self.characters = count, requests, expecting, characters

    def _second_pass(self, given: Digests, made: Digests) -> None:
        """Looks again at what shares a fingerprint: equal given ids are faults, equal contents get their counter."""
        firsts, counts = Notes(given), Notes(made)
        texts: dict[int, str] | None = {} if len(given) <= _VERIFIED else None
        for number, prompt in self._good_lines():
            if prompt.id:
                name, mark = prompt.id, fingerprint(prompt.id.encode())
                first = firsts.first(mark, number + 1)
                if first == number + 1 and texts is not None:
                    texts[mark] = name
                elif first and first <= number and (texts is None or texts[mark] == name):
                    self._faults.add(number + 1, "id", f"{shown(name)} is also the id of line {first}; ids must differ")
            else:
                name = self._count_made(prompt, number, counts)
            if self._done is not None and name.encode() in self._done:
                self.done += 1

    def _count_made(self, prompt: Prompt, number: int, counts: Notes) -> str:
        mark = self._reader.mark(prompt)
        ordinal = counts.count(mark)
        if ordinal > 1:
            self.repeats.add(number, ordinal)
        name = made_id(mark, ordinal)
        if name.encode() in self._given:
            why = f"llmfan makes {shown(name)} for it, which another line has been given; give this line an id too"
            self._faults.add(number + 1, "id", why)
        return name

    def _good_lines(self) -> Iterator[tuple[int, Prompt]]:
        for number, line in enumerate(self._file.lines()):
            try:
                prompt = self._reader.read(line) if line is not None else None
            except Misfit:
                continue
            if prompt is not None:
                yield number, prompt

    def _note(self, line: int, misfit: Misfit) -> None:
        for field, message in misfit.faults:
            self._faults.add(line, field, message)

    def _too_long(self, number: int) -> Prompt:
        raise Misfit(("", _TOO_LONG))

    def _look_at_first(self, number: int, line: bytes) -> None:
        """Two kinds of file are wrong as a whole, and a fault for each of their lines would hide it."""
        why = ""
        if line[:2] in (b"\xff\xfe", b"\xfe\xff"):
            why = "the file is UTF-16; save it as UTF-8"
        elif line.removeprefix(BOM).strip() in (b"[", b"{"):
            how = "jq -c '.[]'" if b"[" in line else "jq -c ."
            why = f"the file is JSON over several lines; a prompt set has one prompt a line ({how} makes it so)"
        if why:
            raise InputFaults([Fault(self._file.name, number + 1, why)])

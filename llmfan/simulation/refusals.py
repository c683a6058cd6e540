"""Error answers in a provider's own shape and words: its catalogue rows, read backwards.

The classifier reads an error by the preset's rows; here a row of the wanted kind is turned into an error that fits it,
and that no earlier row would take for something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct, field

from llmfan.settings import ErrorRow, Kind, Preset
from llmfan.simulation.samples import DIGIT, samples
from llmfan.simulation.shapes import SHAPES, usual_code


class Case(Struct, frozen=True):
    """What is to be said, in plain words, and what helps to put it as the provider would.

    `hints`: words to look for among a row's wordings (`min`, `token`); `figure`: the limit, for a wording that tells a
    number; `exact`: only with this status.
    """

    kind: Kind
    status: int
    text: str
    hints: tuple[str, ...] = ()
    figure: str = ""
    scope: str = ""
    permanent: bool | None = None
    exact: bool = False
    details: list[Any] = field(default_factory=list)


class Wording(Struct, frozen=True):
    """How one kind of error is put: status, code, and what stands before (or instead of) the plain words."""

    status: int
    code: str
    lead: str = ""
    alone: bool = False

    def message(self, case: Case) -> str:
        lead = self.lead.replace(DIGIT, case.figure) if case.figure else self.lead
        return lead if self.alone else f"{lead}. {case.text}" if lead else case.text


class Refusals:
    """Writes the errors of one provider."""

    def __init__(self, preset: Preset):
        self._name, self._shape = preset.error_shape, SHAPES[preset.error_shape]
        # Read as a classifier reads them: rows with a sign in the answer before those with a status alone.
        self._rows = sorted(preset.errors, key=lambda row: not (row.code or row.message or row.body or row.header))
        self._chosen: dict[Any, Wording] = {}

    def write(self, case: Case) -> tuple[int, bytes]:
        """Status and body."""
        ident = (case.kind, case.status, case.scope, case.permanent, case.hints)
        wording = self._chosen.get(ident)
        if wording is None:
            wording = self._chosen[ident] = self._choose(case)
        return wording.status, self._body(wording, case)

    def _body(self, wording: Wording, case: Case) -> bytes:
        body, _ = self._shape(wording.status, wording.code, wording.message(case), case.details)
        return msgspec.json.encode(body)

    def _choose(self, case: Case) -> Wording:
        """The wording that suits best of those a classifier would read as meant; plain words where there is none."""
        usual = Wording(case.status, usual_code(self._name, case.kind, case.status))
        found = [w for row in self._rows if _suits(row, case) for w in _wordings(row, case, usual)]
        for wording in sorted(found, key=lambda w: _strangeness(w, case, usual)):
            first = self._first_that_fits(wording, case)
            if first is not None and first.kind == case.kind:
                return wording
        return usual

    def _first_that_fits(self, wording: Wording, case: Case) -> ErrorRow | None:
        message = wording.message(case)
        _, codes = self._shape(wording.status, wording.code, message, case.details)
        raw = self._body(wording, case).decode()
        return next((row for row in self._rows if _fits(row, wording.status, codes, message, raw)), None)


def _suits(row: ErrorRow, case: Case) -> bool:
    """Whether the row says what the case is. A 429 about one request alone is no limit's refusal."""
    if row.kind != case.kind or row.header or (case.scope and row.scope != case.scope):
        return False
    if case.status == 429 and row.scope == "request":
        return False
    if case.exact and row.status and case.status not in row.status:
        return False
    return case.permanent is None or row.permanent == case.permanent


def _wordings(row: ErrorRow, case: Case, usual: Wording) -> Iterator[Wording]:
    """The plain words under each of the row's codes, then with the row's own words before them or alone."""
    status = case.status if not row.status or case.status in row.status else row.status[0]
    codes = samples(row.code, full=True) if row.code else [usual.code, ""]
    leads = [*(samples(row.message) if row.message else []), *(samples(row.body) if row.body else [])]
    for code in codes[:8]:
        yield Wording(status, code)
        for lead in (w for w in leads[:16] if w and w.lower() not in case.text.lower()):
            yield Wording(status, code, lead)
            yield Wording(status, code, lead, alone=True)


def _strangeness(wording: Wording, case: Case, usual: Wording) -> tuple[bool, int, bool, bool]:
    """Sorts wordings: the right status, then words that name the limit and no other, then the usual code."""
    said = f"{wording.code} {wording.lead}".lower()
    others = {"second", "min", "hour", "day", "month", "request", "token"} - set(case.hints)
    marks = sum(w in said for w in others) - 2 * sum(h in said for h in case.hints)
    return wording.status != case.status, marks, wording.code != usual.code, wording.alone


def _fits(row: ErrorRow, status: int, codes: list[str], message: str, raw: str) -> bool:
    return (
        not row.header
        and (not row.status or status in row.status)
        and (not row.code or any(re.fullmatch(row.code, c, re.I) for c in codes))
        and (not row.message or re.search(row.message, message, re.I) is not None)
        and (not row.body or re.search(row.body, raw, re.I) is not None)
    )

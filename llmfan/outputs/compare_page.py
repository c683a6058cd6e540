"""A comparison as one self-contained page: the verdict, the intervals drawn, the gates, all figures."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from llmfan.outputs import compare_words as words
from llmfan.outputs.compare_words import Entry
from llmfan.outputs.html.markup import Column, fold, name, row, table, text
from llmfan.outputs.html.shell import shell

#: Half the width of the drawing, in its own units, and by how many of these a change of `_REACH` is drawn.
_HALF, _REACH = 100.0, 0.5
#: Left free at either end, so that an arrow stands clear of the dot.
_EDGE = 12.0
_STYLES = """
svg.change { width: 12rem; height: 1.1rem; display: block; }
svg.change .zero { stroke: var(--soft); stroke-width: 1; }
svg.change .span { stroke: var(--soft); stroke-width: 2; }
svg.change .cut { fill: none; stroke: var(--soft); stroke-width: 2; }
svg.change .at { fill: var(--soft); }
svg.change.worse :is(.span, .cut) { stroke: var(--bad); } svg.change.worse .at { fill: var(--bad); }
svg.change.better :is(.span, .cut) { stroke: var(--good); } svg.change.better .at { fill: var(--good); }
"""
_CLASSES = {"worse": "bad", "better": "good"}
_HINT = "0 in the middle; an arrow where an interval goes on beyond the scale"
_COLUMNS = (
    Column("figure"), Column("before", number=True), Column("after", number=True), Column("change", number=True),
    Column("95 % interval", number=True), Column(f"drawn, ±{100 * _REACH:.0f} %", hint=_HINT), Column("p", number=True),
    Column("verdict"),
)  # fmt: skip


def comparison_page(documents: Sequence[Entry]) -> Iterator[str]:
    """The pieces of the file."""
    yield from shell("llmfan compare", _body(documents), styles=_STYLES, marker="llmfan compare")


def _body(documents: Sequence[Entry]) -> Iterator[str]:
    yield '<header class="top"><h1>llmfan compare</h1></header>\n<main>\n'
    for document in documents:
        yield from _comparison(document)
    yield "</main>\n"


def _comparison(document: Entry) -> Iterator[str]:
    tone = {"worse": " bad", "better": " good"}.get(words.tone(document), "")
    badge = ' <span class="badge">simulated</span>' if document["simulated"] else ""
    yield f"<section>\n<h2>{name(document['new'])} against {name(document['base'])}{badge}</h2>\n"
    yield f'<p class="verdict{tone}">{text(words.headline(document), 1000)}</p>\n'
    yield from _notes(document)
    yield from _gates(document["gates"])
    shown, unchanged = words.rows(document, verbose=False)
    if shown:
        yield from table("What changed", _COLUMNS, map(_row, shown), sortable=False)
    rest = [each for each in document["metrics"] if each not in shown]
    if rest:
        said = f"The other figures tested: {len(rest):,}, {unchanged:,} of them without a change"
        yield from fold(said, table("Other figures", _COLUMNS, map(_row, rest), sortable=False))
    if document["figures"]:
        untested = table("Side by side, untested", _COLUMNS[:4], map(_figure, document["figures"]), sortable=False)
        yield from fold("Side by side, untested", untested, open_=not document["metrics"])
    yield f'<p class="soft">{text(words.closing(document), 1000)}</p>\n</section>\n'


def _notes(document: Entry) -> Iterator[str]:
    if not document["why"] and not document["notes"]:
        return
    yield '<ul class="notes">\n'
    for why in document["why"]:
        yield f'<li class="warn">not comparable: {text(why, 400)}</li>\n'
    for note in document["notes"]:
        yield f"<li>{text(note, 400)}</li>\n"
    yield "</ul>\n"


def _gates(gates: Sequence[Entry]) -> Iterator[str]:
    if gates:
        columns = (Column("gate"), Column("held"), Column("why"))
        yield from table("Gates", columns, map(_gate, gates), sortable=False)


def _gate(gate: Entry) -> str:
    held = '<td class="good">yes</td>' if gate["held"] else '<td class="bad">no</td>'
    return row(text(gate["expr"]), [held, f"<td>{text(gate['why'])}</td>"])


def _row(each: Entry) -> str:
    verdict = words.said_verdict(each)
    verdict = f'<td class="{_CLASSES.get(verdict, "same")}">{html.escape(verdict)}</td>'
    cells = [*_numbers(each), _number(words.interval(each)), f"<td>{_drawn(each)}</td>"]
    return row(name(each["metric"]), [*cells, _number(words.probability(each)), verdict])


def _figure(each: Entry) -> str:
    return row(name(each["metric"]), _numbers(each))


def _numbers(each: Entry) -> list[str]:
    return [_number(cell) for cell in (words.value(each, "base"), words.value(each, "new"), words.change(each))]


def _number(said: str) -> str:
    return f'<td class="n">{html.escape(said)}</td>'


def _drawn(each: Entry) -> str:
    """The interval as a line and the change as a dot; 0 in the middle, ±50 % at the ends, an arrow beyond."""
    if each["change"] is None:
        return ""
    low, at, high = (_place(each[end], side) for end, side in (("low", -1.0), ("change", 0.0), ("high", 1.0)))
    kind = words.said_verdict(each).replace(" ", "-")
    said = html.escape(f"{words.change(each)}, {words.interval(each)}")
    return (
        f'<svg class="change {html.escape(kind)}" viewBox="0 0 200 16" role="img" aria-label="{said}">'
        f'<line class="zero" x1="100" y1="0" x2="100" y2="16"/>'
        f'<line class="span" x1="{low:.1f}" y1="8" x2="{high:.1f}" y2="8"/>'
        f"{_cut(each['low'], -1.0)}{_cut(each['high'], 1.0)}"
        f'<circle class="at" cx="{at:.1f}" cy="8" r="4"/></svg>'
    )


def _cut(value: float | None, end: float) -> str:
    """An arrow at the end of the scale, where the interval goes on: on either side, should all of it be beyond."""
    if value is not None and abs(value) <= _REACH:
        return ""
    side = end if value is None else 1.0 if value > 0 else -1.0
    tip = _HALF + side * (_HALF - 1)
    return f'<path class="cut" d="M{tip - 5 * side:.1f} 3 L{tip:.1f} 8 L{tip - 5 * side:.1f} 13"/>'


def _place(value: float | None, end: float) -> float:
    share = end if value is None else max(-1.0, min(1.0, value / _REACH))
    return _HALF + share * (_HALF - _EDGE)

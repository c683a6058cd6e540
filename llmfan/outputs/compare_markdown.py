"""A comparison as GitHub-flavoured Markdown, for a CI job's page or a comment on a pull request."""

from __future__ import annotations

from collections.abc import Sequence

from llmfan.outputs import compare_words as words
from llmfan.outputs.compare_words import Entry
from llmfan.outputs.markdown import gates_markdown
from llmfan.outputs.markdown_text import code, row, table

#: What is beyond is counted.
ROWS, FIGURES = 120, 60
_TITLES = ["figure", "before", "after", "change", "95 % interval", "p", "verdict"]


def comparisons_markdown(documents: Sequence[Entry], *, verbose: bool = False) -> str:
    return "\n".join(_markdown(document, verbose) for document in documents)


def _markdown(document: Entry, verbose: bool) -> str:
    shown, _ = words.rows(document, verbose=verbose)
    left_out = "" if verbose else words.left_out(document)
    rows = [_row(each) for each in shown[:ROWS]]
    figures = document["figures"] if verbose or not document["metrics"] else []
    parts = [
        f"## llmfan compare: {_lead(document)}",
        code(words.headline(document), 1000),
        f"{code(document['new'])} against {code(document['base'])}",
        "\n".join(f"- not comparable: {code(why, 400)}" for why in document["why"]),
        "\n".join(f"- {code(note, 400)}" for note in document["notes"]),
        table(_TITLES, rows, left=(0, 6), more=len(shown) - ROWS, what="figures"),
        f"{left_out[0].upper()}{left_out[1:]} (`-v` shows them)." if left_out else "",
        table(_TITLES[:4], [_figure(each) for each in figures[:FIGURES]], left=(0,), more=len(figures) - FIGURES,
              what="figures"),
        gates_markdown(document["gates"], change=True),
        words.closing(document),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def _lead(document: Entry) -> str:
    """In our own words only: names stand in the code span beneath."""
    verdicts = [words.said_verdict(each) for each in words.rows(document, verbose=False)[0]]
    counts = [(word, verdicts.count(word)) for word in ("worse", "better")]
    said = ", ".join(f"{n:,} {'figure' if n == 1 else 'figures'} {word}" for word, n in counts if n)
    if any(word in verdicts for word in (words.LONGER, words.SHORTER)):
        said = said or "answers of another length"
    return said or (words.NO_CHANGE if document["metrics"] else "side by side")


def _row(each: Entry) -> str:
    verdict = words.said_verdict(each)
    verdict = verdict if verdict == words.NO_CHANGE else f"**{verdict}**"
    return row(*_cells(each), words.interval(each), _plain(words.probability(each)), verdict)


def _figure(each: Entry) -> str:
    return row(*_cells(each))


def _cells(each: Entry) -> list[str]:
    return [code(each["metric"], 120), words.value(each, "base"), words.value(each, "new"), words.change(each)]


def _plain(text: str) -> str:
    return text.replace("<", "&lt;")

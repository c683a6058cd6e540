"""What was asked: the prompts' texts, read again from their set as the run read it, if that is still the same."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from llmfan.errors import UserError
from llmfan.inputs.prompts import PromptSet, ReadOptions, check_prompts
from llmfan.records import Message, Prompt
from llmfan.reporting.folder import RunFolder
from llmfan.reporting.lines import CUT

#: The options that say how a line is read; a run's header keeps them all.
_OPTIONS = ("--prompt-field", "--expect-field", "--id-field", "--template", "--system")


class Asked:
    """`text` gives a prompt's text; `note` says why there are none, or is ""."""

    def __init__(self, note: str = ""):
        self.note = note
        self._texts: dict[int, tuple[str, str]] = {}

    def read(self, prompts: Iterable[Prompt], wanted: Collection[int]) -> None:
        left = len(wanted)
        for prompt in prompts:
            if not left:
                return
            if prompt.index in wanted:
                left -= 1
                self._texts[prompt.index] = (prompt.id, spoken(prompt, CUT + 1))

    def text(self, index: int, id_: str) -> str | None:
        """`id_` may be cut; a line that holds another prompt by now has none."""
        name, text = self._texts.get(index, ("", ""))
        return text if name and name.startswith(id_) else None


def asked(run: RunFolder, wanted: Collection[int]) -> Asked:
    """The texts of the lines `wanted`; none of them where the set is not what the run read."""
    before: dict[str, Any] = run.header.get("prompts") or {}
    name = str(before.get("path") or "")
    if not name or not before.get("sha256"):
        return Asked("the prompts are not shown: run.json does not say where they came from")
    missing = [option for option in _OPTIONS if option not in run.shaping]
    if missing:
        return Asked(f"the prompts are not shown: run.json does not say what {', '.join(missing)} was")
    path = _place(run, name, int(before.get("size") or 0))
    if isinstance(path, str):
        return Asked(f"the prompts are not shown: {path}")
    try:
        with check_prompts(str(path), _options(run)) as prompts:
            return _same(prompts, str(before["sha256"]), name, wanted)
    except UserError:
        return Asked(f"the prompts are not shown: {name} has changed since the run read it")


def _same(prompts: PromptSet, sha256: str, name: str, wanted: Collection[int]) -> Asked:
    if prompts.sha256 != sha256:
        return Asked(f"the prompts are not shown: {name} has changed since the run read it")
    found = Asked()
    found.read(prompts.prompts(), wanted)
    return found


def _place(run: RunFolder, name: str, size: int) -> Path | str:
    """Where the set is, or why it cannot be had. A relative path is one of where the run was started: tried is also
    the folder that holds `runs/`.
    """
    places = [Path(name), run.path.resolve().parents[1] / name] if len(run.path.resolve().parents) > 1 else [Path(name)]
    if name == "-":
        places, name = [run.path / "prompts.jsonl"], str(run.path / "prompts.jsonl")
    there = [path for path in places if path.exists()]
    if not there:
        return f"{name} is gone"
    files = [path for path in there if path.is_file()]
    if not files:
        return f"{name} was a pipe and is not kept"
    same = [path for path in files if os.stat(path).st_size == size]
    return same[0] if same else f"{name} has changed since the run read it"


def _options(run: RunFolder) -> ReadOptions:
    given = {option.removeprefix("--").replace("-", "_"): run.shaping[option] for option in _OPTIONS}
    return ReadOptions(**given)


def spoken(prompt: Prompt, limit: int) -> str:
    """A prompt as one text of at most `limit` characters: a lone question as it is, else who says what."""
    messages = [*prompt.messages, *prompt.turns]
    if len(messages) == 1 and messages[0].get("role") == "user":
        return _content(messages[0], limit)
    return "\n\n".join(f"{m.get('role')}: {_content(m, limit)}" for m in messages[:50])[:limit]


def _content(message: Message, limit: int) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content[:limit]
    return " ".join(_parts(content))[:limit] if isinstance(content, list) else ""


def _parts(content: list[Any]) -> Iterator[str]:
    for part in content:
        if isinstance(part, dict):
            text = part.get("text")
            yield text if isinstance(text, str) else f"[{part.get('type', 'something')}]"

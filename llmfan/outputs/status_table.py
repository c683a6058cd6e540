"""The table that `llmfan status` prints: where the file is wrong, how the fleet is, and a line for each key."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import IO, Any, cast

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from llmfan.outputs import status_words as words
from llmfan.outputs.clean import clean
from llmfan.outputs.lines import counted
from llmfan.outputs.status_details import key_details
from llmfan.outputs.status_rows import key_table
from llmfan.outputs.steady import SteadyStream

#: Columns in a pipe, where there is no screen to ask and COLUMNS does not say: all there are.
PIPE_WIDTH = 200
#: Differences that are told without -v.
TOLD = 5
Entry = Mapping[str, Any]


def print_status(status: Entry, console: Console | None = None, *, details: bool = False) -> bool:
    """Prints to stdout, or where `console` does; False if nobody reads it any more."""
    console = console or status_console(sys.stdout)
    return _printed(status_table(status, console.width, details=details), console)


def print_history(changes: Sequence[Entry], console: Console | None = None) -> bool:
    console = console or status_console(sys.stdout)
    return _printed(history_table(changes), console)


def status_console(stream: IO[str]) -> Console:
    console = Console(file=cast("IO[str]", SteadyStream(stream)), highlight=False, markup=False, emoji=False)
    asked = os.environ.get("COLUMNS", "")
    if not console.is_terminal:
        console.width = int(asked) if asked.isascii() and asked.isdigit() and int(asked) else PIPE_WIDTH
    return console


def _printed(page: RenderableType, console: Console) -> bool:
    if not isinstance(console.file, SteadyStream):
        console.file = cast("IO[str]", SteadyStream(console.file))
    with console.capture() as captured:
        console.print(page)
    for line in captured.get().rstrip("\n").split("\n"):
        console.file.write(line.rstrip(" ") + "\n")
    console.file.flush()
    return not cast("SteadyStream", console.file).gone


def status_table(status: Entry, width: int = PIPE_WIDTH, *, details: bool = False, told: int = TOLD) -> RenderableType:
    """The document of `status --json`: what to change in the file (so many, or all), the fleet in a line, each key."""
    providers: Mapping[str, Entry] = status["quota_status"]
    unset = {name: entry for name, entry in providers.items() if entry["state"] == "missing"}
    keys = [key for name, entry in providers.items() if name not in unset for key in entry["keys"]]
    parts: list[RenderableType] = []
    if status["differences"]:
        parts += [_differences(status["differences"], None if details else told), Text()]
    parts.append(_headline(status, keys))
    if keys and details:
        parts += [part for key in keys for part in (Text(), key_details(key, width))]
    elif keys:
        parts += [Text(), key_table(keys, width)]
    if unset:
        parts += [Text(), _unset(unset)]
    return Group(*parts)


def history_table(changes: Sequence[Entry]) -> RenderableType:
    if not changes:
        return Text("no limit has changed yet, as far as llmfan knows", "dim")
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for title in ("when (UTC)", "key", "limit", "from"):
        table.add_column(title, no_wrap=title != "key", overflow="fold")
    table.add_column("before → after", no_wrap=True)
    for change in changes:
        when = change["at"][:16].replace("T", " ")
        step = f"{words.figure(change['before'])} → {words.figure(change['after'])}"
        table.add_row(when, clean(change["name"]), words.axis(change["axis"]), change["source"], step)
    return table


def _differences(found: Sequence[Entry], most: int | None) -> Text:
    """The first thing one sees: it is what makes a run slower than it need be, or ends it early."""
    text = Text()
    for each in found[:most]:
        text.append(clean(each["message"], 400), "bold yellow")
        text.append(f"\n  {clean(each['change'], 400)}\n", "yellow")
    if most is not None and len(found) > most:
        text.append(f"… and {len(found) - most} more that differ from the file (-v tells all)\n", "yellow")
    text.rstrip()
    return text


def _headline(status: Entry, keys: Sequence[Entry]) -> Text:
    """`23 of 30 keys ready, 8 of 8 providers · 3 exhausted, first back in 3 h 12 m · 2 invalid`."""
    states = Counter(key["state"] for entry in status["quota_status"].values() for key in entry["keys"])
    text = Text(f"{states['ready']} of {counted(states.total(), 'key')} ready", "bold")
    text.append(f", {status['available_providers']} of {counted(status['total_providers'], 'provider')}")
    for state in ("cooldown", "exhausted", "invalid", "missing"):
        if states[state]:
            waits = [k["available_in_s"] for k in keys if k["state"] == state and k["available_in_s"] is not None]
            back = f", first back in {words.wait(min(waits))}" if waits else ""
            text.append(f" · {states[state]} {'not set' if state == 'missing' else state}{back}", words.STYLES[state])
    if not status["known"]:
        text.append("\nnothing is known yet: llmfan probe asks every key", "yellow")
    return text


def _unset(providers: Mapping[str, Entry]) -> Text:
    """Providers without any key, in as few lines as it takes."""
    names = [f"{clean(name)} ({_variable(entry)})" for name, entry in providers.items()]
    return Text(f"no key: {', '.join(names)}", "dim")


def _variable(entry: Entry) -> str:
    return clean(str(entry["keys"][0]["why"]).removesuffix(" is not set"), 60)


def reset_line(done: Entry) -> str:
    """`a#2: lifted exhausted; forgot 3 limits (rpm, rpd, tpm); a#2 is still exhausted: rpd is spent (until …)`."""
    lifted = Counter(str(state["state"]) for state in done["lifted"])
    axes = list(dict.fromkeys(str(limit["axis"]) for limit in done["forgotten"]))
    parts = []
    if lifted:
        parts.append("lifted " + ", ".join(f"{word} ×{n}" if n > 1 else word for word, n in lifted.items()))
    if axes:
        count = len(done["forgotten"])
        parts.append(f"forgot {count} limit{'s' * (count != 1)} ({', '.join(axes)})")
    if axes and done["shared_with"]:
        parts.append(f"those are shared with {', '.join(done['shared_with'])}")
    if not parts:
        parts.append("nothing was to be lifted" if done.get("was_well") else "nothing was known")
    return clean(f"{done['name']}: {'; '.join([*parts, *_still(done.get('still', ()))])}", 1000)


def _still(keys: Sequence[Entry]) -> list[str]:
    """Those that no forgetting helps, by what stands against them."""
    alike: dict[str, list[str]] = {}
    for key in keys:
        until = f" (until {str(key['until'])[:16].replace('T', ' ')} UTC)" if key["until"] else ""
        alike.setdefault(f"still {key['state']}: {key['why']}{until}", []).append(str(key["key"]))
    return [f"{', '.join(labels)} {'is' if len(labels) == 1 else 'are'} {what}" for what, labels in alike.items()]

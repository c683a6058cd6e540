"""llmfan: one fleet of LLM providers and keys, for batches, for benchmarks, and for programs that exist already.

    async with llmfan.Fan("providers.yaml") as fan:
        answer = await fan.ask("…")

The house, ground floor first; imports go down only.

0. words       `errors` `units` `secret` `options` `entries`: what a user can get wrong, and what travels
1. promises    `settings` (the fleet, typed), `records`, `ports` (Transport, Dialect, Ledger, Caller, Observer)
2. judgement   `limits/` `scheduling/` `dialects/` `measures/` `grading/` `serving/`: pure; take `now` and `rng`,
               return what to do
3. hands       `inputs/` `transports/` `pacing/` `simulation/` `ledgers/` `outputs/`: one library behind one door
4. conduct     `conduct/`: sends, reads, settles; stop, drain, signals
5. assembly    `wiring`: settings become a built fleet; `status/` `overview`: what there is to see of it
6. works       `session` (a run, which ends), `engine` (a fleet that is kept running), `forecasting/` `probing/`
               `reporting/` `comparing/`
7. front doors `fan/` and `twins` (Python), `server/` (HTTP), `cli/`: one file a command

Between "this key is free" and "this key is mine" there is no await. A quirk of a
provider is a row in `inputs/catalogue`, never a branch. A run writes a journal;
everything else reads a journal.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmfan.errors import UserError as UserError
    from llmfan.fan import CallFailed as CallFailed
    from llmfan.fan import Chunk as Chunk
    from llmfan.fan import Fan as Fan
    from llmfan.fan import Stream as Stream
    from llmfan.records import ErrorInfo as ErrorInfo
    from llmfan.records import ResultLine as ResultLine
    from llmfan.twins import ask as ask
    from llmfan.twins import chat as chat
    from llmfan.twins import fleet_status as fleet_status
    from llmfan.twins import map as map

__version__ = "0.1.0"

#: What programs use. It is loaded when the first of it is asked for, so that the command line starts without it. (No
#: name here is that of a room: importing the room would put the room in its place.)
__all__ = [
    "CallFailed",
    "Chunk",
    "ErrorInfo",
    "Fan",
    "ResultLine",
    "Stream",
    "UserError",
    "__version__",
    "ask",
    "chat",
    "fleet_status",
    "map",
]


if not TYPE_CHECKING:  # checkers know the names from above, and no others

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'llmfan' has no attribute {name!r}")
        from llmfan import errors, fan, records, twins

        found = next(getattr(room, name) for room in (errors, records, fan, twins) if hasattr(room, name))
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

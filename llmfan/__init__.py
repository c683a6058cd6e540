"""llmfan: batch benchmarking of LLM providers.

The house, ground floor first; imports go down only.

0. words       `records` `units` `errors` `secret`: what travels, and what a user can get wrong
1. promises    `settings` (the fleet, typed) and `ports` (Transport, Dialect, Observer)
2. judgement   `limits/` `scheduling/` `dialects/` `measures/`: pure; take `now` and `rng`, return what to do
3. hands       `inputs/` `transports/` `pacing/` `simulation/` `outputs/`: one library behind one door
4. conduct     `conduct/`: sends, reads, settles; stop, drain, signals
5. assembly    `wiring`: settings become a built run
6. front doors `cli/`: one file a command

Between "this key is free" and "this key is mine" there is no await. A quirk of a
provider is a row in `inputs/catalogue`, never a branch. A run writes a journal;
everything else reads a journal.
"""

__version__ = "0.1.0"

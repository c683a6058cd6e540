"""The far end, made up: every provider of a file with its own limits, headers, errors, latencies and faults.

`provider` decides what is answered (pure); `loopback` plays it over HTTP, `transports/virtual` in memory on the clock
of `loop`. `fake` holds simple scripted far ends for tests and rehearsals.
"""

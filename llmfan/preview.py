"""`--dry-run`: the first request for each target as it would be sent, key masked."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator

import msgspec

from llmfan.inputs.prompts import PromptSet
from llmfan.options import RunOptions
from llmfan.scheduling.jobs import Job
from llmfan.settings import Fleet
from llmfan.wiring import Crew, Moments


def first_requests(fleet: Fleet, prompts: PromptSet, options: RunOptions) -> Iterator[str]:
    """One text a target: address, headers, body."""
    crew = Crew(fleet, options, Moments(time.perf_counter, dt.datetime.now(dt.UTC)), {}, {})
    masks = {k.label: k.secret for p in fleet.providers for k in p.keys}
    own = {p.name: {n.lower() for n in p.headers} - {n.lower() for n in p.preset.headers} for p in fleet.providers}
    prompt = next(prompts.prompts(options.limit, options.shuffle, options.seed))
    for lane in crew.lanes:
        speaker = crew.speakers[lane.number]
        call = speaker.call(Job(prompt))
        secret = masks[lane.target.key]
        lines = [f"# {lane.target.key} {lane.target.model}"]
        lines.append(f"POST {speaker.endpoint.stream_url if call.stream else speaker.endpoint.url}")
        for name, value in speaker.endpoint.headers.items():
            if name.lower() in own[lane.target.provider]:
                value = "…"  # a header of the user's own may hold a secret too
            lines.append(f"{name}: {value.replace(secret.reveal(), secret.mask) if secret else value}")
        body = msgspec.json.format(speaker.dialect.body(call), indent=2).decode()
        yield "\n".join([*lines, "", body, ""])

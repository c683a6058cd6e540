"""What a run is asked for on the command line, checked and typed. Durations are seconds."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

Mode = Literal["spread", "providers", "models", "keys"]


class Rate(Struct, frozen=True, kw_only=True):
    """Open-loop arrivals, prompts a second: `start`, rising or falling evenly to `end` over `over` seconds."""

    start: float
    end: float | None = None
    over: float | None = None
    arrival: Literal["constant", "poisson"] = "constant"


class RunOptions(Struct, frozen=True, kw_only=True):
    """`None` means: not said, the file or its defaults decide."""

    mode: Mode = "spread"
    limit: int | None = None
    repeat: int = 1
    shuffle: bool = False
    seed: int = 0
    warmup: int = 0
    concurrency: int = 64
    system: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    params: dict[str, Any] = field(default_factory=dict)
    stream: bool | None = None
    timeout: float | None = None
    max_attempts: int = 4
    max_ambiguous: int = 1
    max_stall: float = 600.0
    max_cost: float | None = None
    max_duration: float | None = None
    deadline: float | None = None
    wait: bool = False
    hedge: bool = False
    rate: Rate | None = None
    grade: str | None = None
    fail_if: list[str] = field(default_factory=list)
    abort_if: list[str] = field(default_factory=list)
    sticky: str | None = None
    simulate: bool = False
    speed: float = 1.0
    retry_failed: bool = False
    callers: bool = False  # the fleet is kept running for callers, who set their own bounds
    prompt_field: str | None = None
    expect_field: str | None = None
    id_field: str | None = None
    template: str | None = None

    def shaping(self) -> dict[str, Any]:
        """What shapes an answer, or which answers there are: a resumed run must not differ in it."""
        return {
            "--mode": self.mode, "--repeat": self.repeat, "--system": self.system, "--max-tokens": self.max_tokens,
            "--temperature": self.temperature, "--param": self.params, "--template": self.template,
            "--prompt-field": self.prompt_field, "--expect-field": self.expect_field, "--id-field": self.id_field,
            "--simulate": self.simulate, "--simulate-speed": self.speed if self.simulate else None,
            "--grade": self.grade,
        }  # fmt: skip

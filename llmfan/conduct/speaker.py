"""What is needed to speak to one target: its dialect, its address, its request settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from llmfan.conduct.caps import CAPS, most_of
from llmfan.ports import Dialect, Endpoint
from llmfan.records import Answer, Call, Failure, Reply, Report
from llmfan.scheduling.jobs import Job

#: Limits in an answer's headers; the second argument: whether it is a refusal.
ReadReports = Callable[[Mapping[str, str], bool], tuple[Report, ...]]
Classify = Callable[[int, Mapping[str, str], bytes], Failure]
_ASKS = b'"stream_options"'
#: Different caps of prompts that are remembered at most.
KEPT = 1000
FromFault = Callable[[str, str, str], Failure]


class Speaker(Struct, kw_only=True):
    """Request settings, strongest first: the command line's (`forced_*`), the prompt's, the file's.

    `capped` False: an answer whose length nobody bounds goes out without a cap; `max_tokens` is then what it is taken
    for. `without_usage` makes a dialect that does not ask for usage: some servers refuse the question itself.
    """

    dialect: Dialect
    endpoint: Endpoint
    classify: Classify
    from_fault: FromFault
    without_usage: Callable[[], Dialect]
    model: str
    max_tokens: int
    temperature: float | None
    params: dict[str, Any]
    stream: bool
    capped: bool = True
    forced_max_tokens: int | None = None
    forced_temperature: float | None = None
    forced_params: dict[str, Any] = {}
    read_reports: ReadReports = lambda headers, refused: ()
    _most: dict[tuple[int, str], int] = {}  # by the cap asked for and what a prompt says beside it

    def max_tokens_for(self, job: Job) -> int:
        """The most that it may be answered with: the cap as it goes out, whoever set it, for each of `n` answers."""
        asked, params = self._asked(job), job.prompt.params
        own = {name: params[name] for name in CAPS if name in params} if params else None
        known = (asked, repr(own) if own else "")
        most = self._most.get(known)
        if most is None:
            if len(self._most) >= KEPT:
                self._most.clear()
            capping = {name: value for name, value in self._params(own or {}).items() if name in CAPS}
            call = Call(model=self.model, messages=[], max_tokens=asked, params=capping, stream=False)
            most = self._most[known] = most_of(self.dialect.body(call), asked)
        return most

    def call(self, job: Job) -> Call:
        prompt = job.prompt
        temperature = self.forced_temperature
        if temperature is None:
            temperature = prompt.temperature if prompt.temperature is not None else self.temperature
        capped = self.capped or self.forced_max_tokens or prompt.max_tokens
        return Call(
            model=self.model, messages=job.messages(), max_tokens=self._asked(job) if capped else 0,
            temperature=temperature, params=self._params(prompt.params), stream=self.streams(job),
        )  # fmt: skip

    def streams(self, job: Job) -> bool:
        """A caller's wish counts, where the provider streams at all."""
        return self.stream and (job.caller is None or job.caller.streams)

    def _asked(self, job: Job) -> int:
        return self.forced_max_tokens or job.prompt.max_tokens or self.max_tokens

    def _params(self, prompts: dict[str, Any]) -> dict[str, Any]:
        return {**self.params, **prompts, **self.forced_params} if prompts or self.forced_params else self.params

    def adapt(self, body: bytes, failure: Failure) -> Failure:
        """A request refused for asking for usage is sent again without; everything else stays as it is."""
        if failure.kind != "bad_request" or _ASKS not in body or "stream_options" not in failure.message:
            return failure
        self.dialect = self.without_usage()
        return replace(failure, scope="key", free=True)

    def reports(self, reply: Reply) -> tuple[Report, ...]:
        """What a reply's headers tell of limits. A refusal's `Failure.reports` hold these and what its body told."""
        return self.read_reports(reply.headers, reply.status != 200) if reply.status else ()

    def understand(self, reply: Reply, stream: Any) -> Answer | Failure:
        """What a reply means. The order matters: a broken connection, then a refusal, then the answer itself."""
        if reply.fault:
            return self.from_fault(reply.fault, reply.phase, reply.detail)
        if reply.status != 200:
            return self.classify(reply.status, reply.headers, reply.body)
        if reply.streamed:
            answer: Answer | Failure = stream.finish()
            return answer
        return self.dialect.whole(reply.body, reply.headers)

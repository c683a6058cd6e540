"""One provider of the file, played: its limits, headers, errors, latencies and faults. Pure: `now` comes in."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from urllib.parse import unquote

import msgspec

from llmfan.settings import Provider
from llmfan.simulation.allowance import Allowance
from llmfan.simulation.answers import Answers
from llmfan.simulation.counters import Charge, Counters, Refusal
from llmfan.simulation.denials import too_large, too_many
from llmfan.simulation.faults import Faults
from llmfan.simulation.prose import Prose
from llmfan.simulation.questions import Question, Unreadable, read_question
from llmfan.simulation.refusals import Case, Refusals
from llmfan.simulation.saying import say
from llmfan.simulation.script import EVENT_STREAM, Script
from llmfan.simulation.tempo import GRAIN, Tempo, merge
from llmfan.simulation.wire import FORMS, Reply
from llmfan.units import MINUTE

#: Shapes whose providers send no Retry-After (they tell in the body, or not at all).
_NO_RETRY_AFTER = ("google", "list", "errors_array", "string")
#: Where each wire form's keys may stand besides the preset's own header.
_KEY_HEADERS = {"messages": "x-api-key", "generate_content": "x-goog-api-key"}
_HTML = b"<!DOCTYPE html><html><head><title>500 Internal Server Error</title></head><body><h1>500</h1></body></html>\n"
_PLAIN_FIELDS = {"model", "messages", "stream"}


class SimulatedProvider:
    """Answers requests as the provider of the settings would, `speed` times faster than real.

    Inside, its clock runs `speed` times as fast as the caller's and its windows are the real ones; every delay and wait
    is divided by `speed` on the way out. `epoch` is the Unix time at which the caller's clock was 0.
    """

    def __init__(
        self, provider: Provider, seed: int, speed: float, faults: Faults, epoch: float = 0.0,
        answers: Answers | None = None,
    ):  # fmt: skip
        self.settings = provider
        self._preset, self._speed, self._faults, self._epoch = provider.preset, speed, faults, epoch
        self._rng = random.Random(f"{seed}/{provider.name}")
        self._tempo, self._prose = Tempo(self._rng), Prose()
        self._answers = answers
        self._counters = Counters(provider)
        self._allowance = Allowance(provider.preset.limit_headers, self._counters, speed)
        self._refusals = Refusals(provider.preset)
        self._forms = {name: form(provider.preset) for name, form in FORMS.items()}
        self._models = {m.name: m for m in provider.models}
        self._keys = {k.secret.reveal(): k.label for k in provider.keys if k.secret is not None}
        self._open_key = next((k.label for k in provider.keys if k.secret is None), "")
        self._start: float | None = None
        self._served = 0

    def handle(self, now: float, path: str, headers: Mapping[str, str], body: bytes) -> Script:
        """What happens to one request that arrives at `now`. Calls must come in the order of their moments."""
        at = self._own_clock(now)
        self._counters.advance(at)
        if not body and path.partition("?")[0].endswith(self._preset.models_path):
            return self._models_list(headers)
        try:
            question = read_question(path, body)
        except Unreadable as fault:
            return self._error(Case("bad_request", 400, f"{fault}.", scope="request", exact=True))
        key = self._key(headers, question.form)
        if not key:
            return self._error(Case("auth", 401, "The API key is not valid."))
        if question.model not in self._models:
            return self._error(Case("model_not_found", 404, "The model does not exist or you have no access to it."))
        if strange := self._strange_fields(question):
            return self._error(Case("bad_request", 422, f"Unknown field: {strange}.", scope="request", exact=True))
        charge = self._counters.admit(at, key, question.model, question.prompt, question.cap * question.choices)
        if isinstance(charge, Refusal):
            return self._refuse(now, key, question, charge)
        return self._serve(now, key, question, charge)

    # ---------------------------------------------------------------- answers

    def _serve(self, now: float, key: str, question: Question, charge: Charge) -> Script:
        rng, fault = self._rng, self._faults.draw(self._rng)
        reply = self._reply(question, now)
        first = self._tempo.first_token(rng)
        gaps = self._tempo.gaps(rng, reply.first.steps - 1)
        if fault in ("server_error", "overloaded") or (fault == "error_event" and not question.stream):
            self._counters.ends(self._own_clock(now), charge, 0)
            return self._broken(fault, first)
        if question.stream:
            writes, kind = self._stream(reply, first, gaps), EVENT_STREAM
        else:
            writes, kind = [(first + sum(gaps), self._forms[question.form].whole(reply))], "application/json"
        if fault in ("cut", "reset", "error_event"):
            writes = self._spoilt(writes, fault, reply)
        self._counters.ends(self._own_clock(now) + writes[-1][0], charge, reply.output)
        told = self._told(now, key, question, False, reply.output)
        return Script(200, {"content-type": kind, **told}, self._outward(writes), abort=fault == "reset")

    def _reply(self, question: Question, now: float) -> Reply:
        known = None if self._answers is None else self._answers.known(self.settings.name, question.seed)
        planned = [self._tempo.tokens(self._rng) for _ in range(question.choices)]
        choices = [say(question, self._prose, question.seed + n, each, known) for n, each in enumerate(planned)]
        self._served += 1
        made = question.wants is not None
        count = sum(
            said.steps if made else min(each, question.cap) for said, each in zip(choices, planned, strict=True)
        )
        neurons = self._models[question.model].neurons
        return Reply(
            id=f"sim-{question.seed:08x}-{self._served}",
            question=question,
            created=int(self._epoch + now),
            choices=choices,
            neurons=(round((question.prompt * neurons.input + count * neurons.output) / 1e6, 4) if neurons else None),
        )

    def _stream(self, reply: Reply, first: float, gaps: list[float]) -> list[tuple[float, bytes]]:
        form = self._forms[reply.question.form]
        opening = form.opening(reply)
        if self._tempo.chatty and self._rng.random() < 0.5:
            opening = b": keep-alive\n\n" + opening
        events = form.words(reply)
        writes = [(first * 0.6, opening), (first, events[0])]
        at = first
        for gap, data in zip(gaps, events[1:], strict=True):
            at += gap
            writes.append((at, data))
        writes.append((at, form.closing(reply)))
        return merge(writes, GRAIN * self._speed)

    def _spoilt(self, writes: list[tuple[float, bytes]], fault: str, reply: Reply) -> list[tuple[float, bytes]]:
        """The stream up to a place in its middle, where the fault strikes. A whole answer breaks before it leaves."""
        if not reply.question.stream:
            at, whole = writes[0]
            return [(at, whole[: len(whole) // 2])]
        kept = writes[: self._rng.randint(1, max(1, len(writes) - 1))]
        if len(kept) == len(writes):  # all of a short answer in one write: only its opening leaves
            kept = [(writes[0][0], self._forms[reply.question.form].opening(reply))]
        if fault == "error_event":
            kept.append((kept[-1][0], self._forms[reply.question.form].failing(reply)))
        return kept

    def _broken(self, fault: str, first: float) -> Script:
        if fault == "server_error":
            return Script(500, {"content-type": "text/html"}, self._outward([(first * 0.3, _HTML)]))
        return self._error(Case("overloaded", 503, "The service is overloaded, please try again later."), first * 0.3)

    def _models_list(self, headers: Mapping[str, str]) -> Script:
        if not self._preset.models_public and not any(self._key(headers, form) for form in FORMS):
            return self._error(Case("auth", 401, "The API key is not valid."))
        rows = [{"id": name, "object": "model", "owned_by": "simulated"} for name in self._models]
        body = msgspec.json.encode({"object": "list", "data": rows})
        return Script(200, {"content-type": "application/json"}, self._outward([(0.05, body)]))

    # ---------------------------------------------------------------- refusals

    def _refuse(self, now: float, key: str, question: Question, refusal: Refusal) -> Script:
        told = self._told(now, key, question, True, 0)
        if refusal.too_large:
            return self._error(too_large(question.model, refusal), headers=told)
        wait = refusal.wait / self._speed
        if self._preset.error_shape not in _NO_RETRY_AFTER:
            told["retry-after"] = str(math.ceil(wait)) if self._speed == 1 else f"{wait + 5e-4:.3f}"
        return self._error(too_many(question.model, refusal, wait, MINUTE / self._speed), headers=told)

    def _told(self, now: float, key: str, question: Question, refused: bool, output: int) -> dict[str, str]:
        at, unix = self._own_clock(now), self._epoch + now
        return self._allowance.headers(at, unix, key, question.model, refused, question.prompt, output)

    def _error(self, case: Case, delay: float = 0.0, headers: Mapping[str, str] | None = None) -> Script:
        status, body = self._refusals.write(case)
        delay = delay or self._rng.uniform(0.02, 0.08)
        return Script(status, {"content-type": "application/json", **(headers or {})}, self._outward([(delay, body)]))

    # ---------------------------------------------------------------- small things

    def _own_clock(self, now: float) -> float:
        """The provider's time: right at the first request, then `speed` times as fast as the caller's."""
        if self._start is None:
            self._start = now
        return self._epoch + self._start + (now - self._start) * self._speed

    def _outward(self, writes: list[tuple[float, bytes]]) -> list[tuple[float, bytes]]:
        return writes if self._speed == 1 else [(at / self._speed, data) for at, data in writes]

    def _key(self, headers: Mapping[str, str], form: str) -> str:
        """The label of the key in the headers; a provider that asks for none takes any."""
        given = {name.lower(): value for name, value in headers.items()}
        for name in (self._preset.auth_header.lower(), _KEY_HEADERS.get(form, "authorization")):
            token = given.get(name, "").rpartition(" ")[2]
            if token in self._keys:
                return self._keys[token]
        return self._open_key

    def _strange_fields(self, question: Question) -> str:
        """A field that the preset says this provider refuses: a request that carries one is our mistake."""
        rules = self._preset.fields
        refused = question.fields & set(rules.drop)
        if rules.allow:
            refused |= question.fields - set(rules.allow) - _PLAIN_FIELDS
        if not rules.ask_usage:
            refused |= question.fields & {"stream_options"}
        return min(refused, default="")


def path_name(path: str) -> str:
    """The provider's name: the first segment of a path, as the fleet lays them out."""
    return unquote(path.lstrip("/").partition("/")[0])

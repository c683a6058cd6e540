"""One line of a prompt set, in any of the accepted shapes, into a `Prompt`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from llmfan.errors import near
from llmfan.grading.grade import NAMES
from llmfan.grading.grade import fault as grader_fault
from llmfan.inputs.extras import SETTINGS, line_settings
from llmfan.inputs.jsontext import Misfit, shown
from llmfan.inputs.messages import Faults, Spoken, check_messages, spoken, system_first, user
from llmfan.inputs.template import MISSING, Template, dig, missing
from llmfan.records import Message, Prompt

_EXPECT_HINT = '; it stands in "expect", "target" or "answer", or in the field that --expect-field names'
_SHAPES = ("prompt", "messages", "body", "input", "question", "turns", "vars")


class ReadOptions(Struct, frozen=True, kw_only=True):
    """How to read other people's lines. `template` is text, not a file's name; `system` overrules every line's own.

    By `grade`, a grader's name, each expected answer is checked; None checks each by its shape.
    """

    prompt_field: str | None = None
    expect_field: str | None = None
    id_field: str | None = None
    template: str | None = None
    system: str | None = None
    grade: str | None = None


class Shapes:
    """Reads documents: calling it gives the prompt with its given id (or ""), or raises a Misfit with every fault.

    The line's index and the id of one that has none are the file's to know. `never_met` tells which of the fields
    that options name stood on no line: such a name is a slip of the keyboard.
    """

    def __init__(self, options: ReadOptions):
        self._id_field, self._expect_field = options.id_field, options.expect_field
        self._prompt_field = options.prompt_field
        self._template = Template(options.template) if options.template is not None else None
        self._own_shape = options.template is None and options.prompt_field is None
        self._grade, self._grader = options.grade, options.grade if options.grade in NAMES else None
        self._any_line = self._any_expected = False
        self._met: set[str] = set()
        self._unmet: dict[str, dict[str, Any]] = {}

    def __call__(self, document: Any) -> Prompt:
        self._any_line = True
        if type(document) is str:
            if self._template is not None:
                raise Misfit(("", "a plain string has no fields for --template; make it an object, or leave it out"))
            return Prompt(id="", index=0, messages=[user(document)])
        if type(document) is not dict:
            raise Misfit(("", f"expected an object or a string, got {shown(document)}{_list_hint(document)}"))
        faults: Faults = []
        batch = "body" in document and self._own_shape and _is_batch(document)
        messages, turns = _body(document, faults) if batch else self._spoken(document, faults)
        given = self._id(document, faults)
        if SETTINGS.isdisjoint(document) and self._expect_field is None and not batch:
            if faults:
                raise Misfit(*faults)
            return Prompt(id=given, index=0, messages=messages, turns=turns)
        settings = line_settings(document, batch, faults)
        if type(text := settings.pop("system", None)) is str:
            messages = system_first(messages, text)
        expect = self._expect(document, faults)
        if faults:
            raise Misfit(*faults)
        return Prompt(id=given, index=0, messages=messages, turns=turns, expect=expect, **settings)

    def never_met(self) -> list[Misfit]:
        """A fault for each such field: some lines may well lack an id or an expected answer, but hardly all."""
        options = {self._id_field: "--id-field", self._expect_field: "--expect-field"}
        lacking = [(field, line) for field, line in self._unmet.items() if field not in self._met]
        slips = [missing(field, line, options[field], "the whole file has") for field, line in lacking]
        if self._grader and self._any_line and not self._any_expected and self._expect_field not in dict(lacking):
            why = f"no line has an expected answer, so --grade {self._grader} has nothing to compare with"
            slips.append(Misfit((self._expect_field or "expect", f"{why}{'' if self._expect_field else _EXPECT_HINT}")))
        return slips

    def _named(self, field: str, document: dict[str, Any]) -> Any:
        """The value of a field that an option names, and a note of whether it was there."""
        value = dig(document, field)
        if value is not MISSING:
            self._met.add(field)
        elif field not in self._unmet:
            self._unmet[field] = document
        return value

    def _spoken(self, document: dict[str, Any], faults: Faults) -> Spoken:
        """What is to be said: by the options if they say so, else by the first field that makes a shape."""
        try:
            if self._template is not None:
                return [user(self._template.fill(document))], []
            if self._prompt_field is not None:
                value = dig(document, self._prompt_field)
                if value is MISSING:
                    raise missing(self._prompt_field, document, "--prompt-field")
                return spoken(value, self._prompt_field, faults)
        except Misfit as e:
            faults.extend(e.faults)
            return [], []
        if type(text := document.get("prompt")) is str:  # the commonest by far
            return [user(text)], []
        for field, read in _READERS:
            if field in document:
                return read(document, faults)
        faults.append(("", _no_shape(document)))
        return [], []

    def _id(self, document: dict[str, Any], faults: Faults) -> str:
        field = self._id_field
        if field is not None:
            value = self._named(field, document)
        else:
            field = "id" if "id" in document else "custom_id"
            value = document.get(field, MISSING)
        if value is MISSING:
            return ""
        if type(value) is int:
            return str(value)
        if type(value) is not str or not value:
            got = "an empty one" if value == "" else shown(value)
            faults.append((field, f"expected text or a whole number, got {got}; leave it out and llmfan makes one"))
            return ""
        return value

    def _expect(self, document: dict[str, Any], faults: Faults) -> Any:
        field = self._expect_field or _expect_field(document)
        value = self._named(field, document) if self._expect_field is not None else document.get(field, MISSING)
        if value is MISSING or value is None:
            return None
        self._any_expected = True
        # A grader of the user's own knows what it wants, whatever the shape.
        if (self._grade is None or self._grader) and (why := grader_fault(value, self._grader)):
            faults.append((field, f"{why}; got {shown(value)}"))
        return value


def _expect_field(document: dict[str, Any]) -> str:
    """The field with the expected answer: `expect`, else the one that goes with the shape, else the other one.

    A "target" belongs to an "input", an "answer" to a "question"; beside "prompt" or "messages" they can mean no less.
    """
    if "expect" in document:
        return "expect"
    likely = ("target", "answer") if "input" in document else ("answer", "target")
    return next((field for field in likely if document.get(field) is not None), "expect")


def _prompt(document: dict[str, Any], faults: Faults) -> Spoken:
    return spoken(document["prompt"], "prompt", faults)


def _messages(document: dict[str, Any], faults: Faults) -> Spoken:
    return check_messages(document["messages"], "messages", faults), []


def _is_batch(document: dict[str, Any]) -> bool:
    """Other lines may have a `body` too, an e-mail's for one."""
    frame = type(document["body"]) is dict or "custom_id" in document
    return frame and "prompt" not in document and "messages" not in document


def _body(document: dict[str, Any], faults: Faults) -> Spoken:
    """A line of a batch file. Batches of embeddings and the like have the same frame; `url` tells them apart."""
    body = document["body"]
    if type(body) is not dict:
        faults.append(("body", f"expected an object, got {shown(body)}"))
        return [], []
    url = document.get("url", "/chat/completions")
    if type(url) is not str or not url.partition("?")[0].rstrip("/").endswith("/chat/completions"):
        faults.append(("url", f"only chat completions can be sent, got {shown(url)}"))
        return [], []
    if "messages" not in body:
        faults.append(("body.messages", f"is missing; the body has {_names(body)}"))
        return [], []
    return check_messages(body["messages"], "body.messages", faults), []


def _input(document: dict[str, Any], faults: Faults) -> Spoken:
    if "instruction" in document:  # to send the input alone would drop the question
        faults.append(("instruction", 'stands beside "input": join them, as in --template "{{instruction}} {{input}}"'))
        return [], []
    return spoken(document["input"], "input", faults)


def _question(document: dict[str, Any], faults: Faults) -> Spoken:
    return spoken(document["question"], "question", faults)


def _turns(document: dict[str, Any], faults: Faults) -> Spoken:
    value = document["turns"]
    if type(value) is not list or not value:
        faults.append(("turns", f"expected a list of texts or user messages, got {shown(value)}"))
        return [], []
    turns: list[Message] = []
    for i, turn in enumerate(value):
        if type(turn) is str:
            turns.append(user(turn))
        elif type(turn) is dict and turn.get("role", "user") != "user":
            faults.append((f"turns[{i}].role", f"a turn is the user's, got {shown(turn['role'])}"))
        else:
            turns.extend(check_messages([turn], f"turns[{i}]", faults, lone=True))
    return turns[:1], turns[1:]


def _vars(document: dict[str, Any], faults: Faults) -> Spoken:
    faults.append(("vars", "needs a --template to be put into"))
    return [], []


_READERS: tuple[tuple[str, Callable[[dict[str, Any], Faults], Spoken]], ...] = (
    ("prompt", _prompt),
    ("messages", _messages),
    ("turns", _turns),
    ("input", _input),
    ("question", _question),
    ("vars", _vars),
)


def _no_shape(document: dict[str, Any]) -> str:
    if not document:
        return "an empty object says nothing to ask"
    for name in document:
        if hint := near(name.lower(), _SHAPES):
            return f"no field that makes a prompt: {shown(name)}{hint}"
    text = next((name for name, value in document.items() if type(value) is str), "NAME")
    option = f"--prompt-field {_word(text)}"
    return f"no field that makes a prompt among {_names(document)}; say which one is to be asked, as in {option}"


def _names(document: dict[str, Any]) -> str:
    return ", ".join(shown(name) for name in list(document)[:8]) + (", …" if len(document) > 8 else "") or "no field"


def _word(name: str) -> str:
    return name if name.isascii() and name.replace("_", "a").replace("-", "a").isalnum() else shown(name)


def _list_hint(document: Any) -> str:
    return "; one prompt a line, without brackets around them all" if type(document) is list else ""

"""A grader of the user's own, for `--grade python:module:function`: found, called, and kept from ending the run."""

from __future__ import annotations

import copy
import importlib.util
import inspect
import math
import os
import pkgutil
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

from llmfan.errors import UserError, near
from llmfan.grading.thinking import answer_of
from llmfan.records import Prompt

PREFIX = "python:"
_FORM = "python:module:function or python:path/to/file.py:function"


class OwnGrader:
    """Calls the function with (text, expect), or (text, expect, prompt) if it takes three.

    What it raises, or returns beside true, false, a number from 0 to 1 and None, judges nothing: it is counted in
    `faults` by kind, and `example` says where the first stood. The message of an exception may hold anything, so it is
    never told; its type and line are. `judges_all`: it is asked about prompts that expect nothing as well.
    """

    judges_all = True

    def __init__(self, spec: str, function: Callable[..., Any]):
        self.spec = spec
        self.faults: Counter[str] = Counter()
        self.example = ""
        self._function = function
        self._takes_prompt = _takes_prompt(spec, function)

    def __call__(self, prompt: Prompt, text: str) -> float | None:
        try:
            # What it returns is the user's code too: a comparison, a conversion, the end of a coroutine may raise.
            with redirect_stdout(sys.stderr):
                score, kind = _score(self._returned(prompt, text))
        except BaseException as e:  # CancelledError or SystemExit of a grader must not end the run
            if _is_ctrl_c(e):
                raise
            self._fault(f"raised {_type_name(e)}", prompt, _place())
            return None
        if kind:
            self._fault(kind, prompt, "")
        return score

    def _returned(self, prompt: Prompt, text: str) -> Any:
        # Copies: what a grader changes in them would else be changed in the results.
        given = [answer_of(text), copy.deepcopy(prompt.expect)]
        if self._takes_prompt:
            given.append(_as_dict(prompt))
        return self._function(*given)

    def told(self) -> list[str]:
        """One line for each kind of fault, to be said at the end of a run."""
        lines = [f"{self.spec} {kind} ({count} time{'s' if count > 1 else ''})" for kind, count in self.faults.items()]
        return [f"{line}; first: {self.example}" if i == 0 else line for i, line in enumerate(lines)]

    def _fault(self, kind: str, prompt: Prompt, place: str) -> None:
        self.faults[kind] += 1
        if not self.example:
            self.example = f"{kind}{place} at prompt {prompt.id}"

    def __repr__(self) -> str:
        return f"<grader {self.spec}, {self.faults.total()} faults>"


def own_grader(spec: str) -> OwnGrader:
    """The grader that a `python:…` names; a UserError where there is none such."""
    source, _, name = spec.removeprefix(PREFIX).rpartition(":")
    if not source or not name.isidentifier():
        raise UserError(f"--grade {spec}: expected {_FORM}")
    module = _file(spec, Path(source)) if source.endswith(".py") else _module(spec, source)
    with _told(spec):  # a module's own __getattr__ and a function's own __signature__ are the user's code
        function = getattr(module, name, None)
        if not callable(function):
            known = [n for n, value in vars(module).items() if not n.startswith("_") and callable(value)]
            what = "is no function" if hasattr(module, name) else "there is no such function"
            raise UserError(f"--grade {spec}: {what} in {source}: {name}{near(name, known)}")
        return OwnGrader(spec, function)


def _module(spec: str, name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise UserError(f"--grade {spec}: expected {_FORM}")
    here = os.getcwd()
    try:
        with _importable(here), _told(spec):
            module: ModuleType = pkgutil.resolve_name(f"{name}:")
    except ModuleNotFoundError as e:
        if e.name is None or not (name == e.name or name.startswith(e.name + ".")):
            raise UserError(f"--grade {spec}: it imports {e.name}, which is not installed") from None
        beside = [path.stem for path in Path(here).glob("*.py")]
        raise UserError(f"--grade {spec}: there is no module {name}{near(name, beside)}") from None
    return module


def _file(spec: str, path: Path) -> ModuleType:
    if not path.is_file():
        beside = [str(path.with_name(other.name)) for other in path.parent.glob("*.py")]
        raise UserError(f"--grade {spec}: there is no file {path}{near(str(path), beside)}")
    name = f"llmfan_own_grader_{path.stem}"
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None and found.loader is not None, "a .py file always has a loader"
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses look their own module up there
    try:
        with _importable(str(path.parent.resolve())), _told(spec):
            found.loader.exec_module(module)
    except ModuleNotFoundError as e:
        raise UserError(f"--grade {spec}: it imports {e.name}, which is not installed") from None
    return module


@contextmanager
def _importable(folder: str) -> Iterator[None]:
    """The folder comes first while the module is loaded, and last afterwards, for what it imports later."""
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
        if folder not in sys.path:
            sys.path.append(folder)


@contextmanager
def _told(spec: str) -> Iterator[None]:
    """Whatever a user's module does while it is loaded, as one line without its message, which may hold a secret.

    What it prints goes to stderr: stdout is the run's, and may be read by a program.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except UserError:
        raise
    except SyntaxError as e:
        where = f"{os.path.basename(e.filename or '')}:{e.lineno}"
        raise UserError(f"--grade {spec}: not valid Python at {where}") from None
    except BaseException as e:
        if _is_ctrl_c(e) or (isinstance(e, ModuleNotFoundError) and e.name):
            raise
        raise UserError(f"--grade {spec}: loading it raised {_type_name(e)}{_place()}") from None


def _is_ctrl_c(error: BaseException) -> bool:
    """Whether this is the user's own wish to stop.

    While a run goes its loop has taken the signal over, and then only the grader itself can have raised this.
    """
    return isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def _takes_prompt(spec: str, function: Callable[..., Any]) -> bool:
    if inspect.iscoroutinefunction(function):
        raise UserError(f"--grade {spec}: the function is async; a grader is called and returns its score")
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some built-in functions do not tell
        return False
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in places if p.default is p.empty]
    named = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    takes_any = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if (len(places) < 2 and not takes_any) or len(needed) > 3 or named:
        raise UserError(f"--grade {spec}: the function must take (text, expect) or (text, expect, prompt)")
    return len(places) >= 3


def _as_dict(prompt: Prompt) -> dict[str, Any]:
    fields = {name: getattr(prompt, name) for name in ("id", "index", "messages", "expect", "metadata")}
    return copy.deepcopy(fields)


def _score(value: Any) -> tuple[float | None, str]:
    """(the score, "") or (None, what is wrong with what was returned)."""
    if value is None:
        return None, ""
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        value = value.item()  # numpy.bool_ and the like
    if not isinstance(value, bool | int | float):
        if inspect.iscoroutine(value):
            value.close()
        return None, f"returned {_type_name(value)}, not a score"
    try:
        score = float(value)
    except OverflowError:
        score = math.inf
    # Compared as a plain float: a subclass may compare as it likes. NaN is not between either.
    return (score, "") if 0 <= score <= 1 else (None, "returned a number that is not from 0 to 1")


def _type_name(value: Any) -> str:
    """The name that a class was given, whatever it says of itself, fit for one line."""
    name = str(type.__dict__["__name__"].__get__(type(value)))
    return name if name.isprintable() and len(name) <= 60 else "something"


def _place() -> str:
    """Where the exception now handled arose in the user's own code: the innermost line that is in a file."""
    trace = traceback.extract_tb(sys.exc_info()[2], limit=-50)
    frames = [f for f in trace if f.filename != __file__ and f.filename[:1] != "<"]
    return f" in {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""

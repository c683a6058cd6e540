"""The house rules that a reader cannot see from one file: who may import whom, and where a library comes in."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "llmfan"

#: Ground first. A room imports from floors below its own, and from itself. "llmfan" is the package's own `__init__`.
FLOORS = (
    {"llmfan", "secret", "errors", "units", "options", "marks", "entries"},  # words
    {"settings"},  # promises, from here
    {"records"},
    {"ports"},
    {"limits", "dialects", "measures", "grading"},  # judgement, from here
    {"scheduling", "serving"},
    {"inputs", "simulation", "pacing", "ledgers"},  # hands, from here
    {"transports"},
    {"outputs"},
    {"conduct"},
    {"audit", "efficiency", "folders", "gatekeeper", "replay", "runfile", "summary", "wiring", "carrying"},  # assembly
    {"surroundings", "status"},
    {"overview"},
    {"forecasting", "preview", "session", "engine", "probing", "reporting", "comparing"},
    {"fan"},
    {"twins"},
    {"server"},
    {"cli"},  # front doors, from here
    {"__main__"},
)
#: The package's face shows what stands on upper floors, and loads it when it is asked for (`test_twins` holds that).
FACE = PACKAGE / "__init__.py"
HEIGHT = {room: height for height, floor in enumerate(FLOORS) for room in floor}

#: Library → the modules that may import it.
DOORS = {
    "yaml": ("llmfan.inputs",),
    "dotenv": ("llmfan.inputs.environment",),
    "aiohttp": ("llmfan.transports", "llmfan.server"),
    "aiolimiter": ("llmfan.pacing",),
    "uvloop": ("llmfan.surroundings",),
    "prometheus_client": ("llmfan.server.metrics",),
    "sqlite3": ("llmfan.ledgers",),
    "platformdirs": ("llmfan.ledgers",),
    "jsonschema": ("llmfan.grading",),
    "numpy": ("llmfan.comparing",),
    "pyarrow": ("llmfan.outputs.exports",),
    "scipy": ("llmfan.comparing",),
    "vl_convert": ("llmfan.outputs.html",),
    "regex": ("llmfan.grading",),
    "rich": ("llmfan.outputs", "llmfan.cli"),
    "typer": ("llmfan.cli",),
}

JUDGEMENT = ("limits", "scheduling", "dialects", "measures", "grading", "serving")
#: Modules through which time, chance, the network or a file could come in. (`datetime` is needed as a type.)
OUTSIDE = {
    "asyncio", "time", "socket", "ssl", "http", "os", "io", "pathlib", "shutil", "tempfile", "subprocess", "threading",
    "signal", "secrets", "uuid",
}  # fmt: skip

#: What is an English word as well counts only where it stands alone in quotes.
ENGLISH = {"together"}
#: A wire form that many speak, named in the code for what everybody calls it.
WIRE_FORM = "openai_chat"
#: And the option of a file's form that other programs read.
FILE_FORM = "--openai-batch"

LONGEST = 300
#: Longer files, each with its reason and a ceiling of its own.
LONG_FILES = {
    "scheduling/dispatcher.py": 495,  # the one room where a decision is made whole; cut up, no part makes sense
}
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "manager", "base", "common", "misc"}


def files() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if "__pycache__" not in p.parts)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    """`llmfan.inputs.config` → `inputs`."""
    return module.split(".")[1] if "." in module else module


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every imported module with its line: inside functions, for type checkers only, and by name as well."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            yield node.module or "", node.lineno
            if node.module == "llmfan":
                yield from ((f"llmfan.{a.name}", node.lineno) for a in node.names if a.name in HEIGHT)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            assert isinstance(node.args[0], ast.Constant), f"{path}:{node.lineno}: nobody can see what is imported here"
            yield str(node.args[0].value), node.lineno


def rooms() -> set[str]:
    return {room_of(module_of(path)) for path in files()}


def test_every_room_stands_on_a_floor() -> None:
    """A room outside the plan escapes every rule below."""
    assert rooms() <= HEIGHT.keys(), "give it a floor in FLOORS"
    assert HEIGHT.keys() <= rooms(), "FLOORS names a room that is gone"


def test_imports_go_down_only() -> None:
    """One import upwards, and no room can be understood, tested or replaced without the others."""
    wrong = []
    for path in files():
        if path == FACE:
            continue
        own = room_of(module_of(path))
        for module, line in imports(path):
            if module.split(".")[0] == "llmfan":
                other = room_of(module)
                if other != own and HEIGHT[other] >= HEIGHT[own]:
                    wrong.append(f"{path}:{line}: {own} imports {other}, which is no floor below")
    assert not wrong, "\n".join(wrong)


def test_each_library_comes_in_by_one_door() -> None:
    """A library used everywhere cannot be replaced, and start-up pays for it on every path."""
    wrong = []
    for path in files():
        module = module_of(path)
        for name, line in imports(path):
            doors = DOORS.get(name.split(".")[0])
            if doors is not None and not any(module == door or module.startswith(door + ".") for door in doors):
                wrong.append(f"{path}:{line}: imports {name}, whose door is {' or '.join(doors)}")
    assert not wrong, "\n".join(wrong)


def test_no_door_stands_unused() -> None:
    """A door for a library that is gone would let it back in unseen."""
    used = {name.split(".")[0] for path in files() for name, _ in imports(path)}
    assert used >= DOORS.keys()


def test_no_python_file_names_a_provider() -> None:
    """A name in the code is where the branch for one provider begins; quirks are rows of the catalogue."""
    names = {p.stem for p in (PACKAGE / "inputs" / "catalogue").glob("[!_]*.yaml")}
    assert len(names) > 15
    free = re.compile(rf"(?<![a-z])(?:{'|'.join(sorted(names - ENGLISH))})(?![a-z])", re.IGNORECASE)
    quoted = re.compile(rf"""["'](?:{"|".join(sorted(names & ENGLISH))})["']""", re.IGNORECASE)
    wrong = []
    for path in files():
        if path.stem in names:
            wrong.append(f"{path}: is named for a provider")
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            line = text.replace(WIRE_FORM, "").replace(FILE_FORM, "")
            wrong += [f"{path}:{number}: {found[0]}" for found in (*free.finditer(line), *quoted.finditer(line))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("room", JUDGEMENT)
def test_judgement_is_pure(room: str) -> None:
    """With a clock, a die or a socket in it, a decision could not be replayed, nor run on the virtual clock."""
    wrong = [
        f"{path}:{line}: {what}"
        for path in sorted((PACKAGE / room).glob("**/*.py"))
        for line, what in impurities(path)
    ]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def impurities(path: Path) -> Iterator[tuple[int, str]]:
    for module, line in imports(path):
        if module.split(".")[0] in OUTSIDE:
            yield line, f"imports {module}"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            yield node.lineno, "async"
        elif isinstance(node, ast.Global):
            yield node.lineno, "global"
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in ("open", "print", "input", "Random") or re.search(r"\b(now|utcnow|today)$", called):
                yield node.lineno, f"calls {called}"
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names}
            if "random" in names or (
                isinstance(node, ast.ImportFrom) and node.module == "random" and names != {"Random"}
            ):
                yield node.lineno, "imports chance itself; a seeded Random is an argument"


def test_purity_is_seen(tmp_path: Path) -> None:
    """A check that finds nothing anywhere would pass as well."""
    path = tmp_path / "impure.py"
    path.write_text("import time\nfrom random import choice\nasync def f(): pass\nopen('x')\ndt.datetime.now()\n")
    assert [line for line, _ in sorted(impurities(path))] == [1, 2, 3, 4, 5]


def test_no_module_has_an_empty_name() -> None:
    """Whatever belongs nowhere ends up in a file called helpers, and nobody finds it again."""
    parts = {part for path in files() for part in path.relative_to(PACKAGE).with_suffix("").parts}
    assert not {part for part in parts if part.strip("_") in EMPTY_NAMES}


def test_files_stay_short() -> None:
    """Beyond a few hundred lines a file holds two things, and the second one is hidden."""
    wrong = []
    for path in files():
        name = path.relative_to(PACKAGE).as_posix()
        length = len(path.read_text(encoding="utf-8").splitlines())
        if length > LONG_FILES.get(name, LONGEST):
            wrong.append(f"{path}: {length} lines, at most {LONG_FILES.get(name, LONGEST)}")
        elif name in LONG_FILES and length <= LONGEST:
            wrong.append(f"{path}: {length} lines, no exception needed any more")
    assert not wrong, "\n".join(wrong)
    assert all((PACKAGE / name).exists() for name in LONG_FILES)

"""README.md names everything a user can write or will read, and the shipped fleet is one file."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest
import typer
import yaml

from llmfan.cli.main import app
from llmfan.grading.grade import NORMALISATION
from llmfan.inputs import schema
from llmfan.inputs.catalogue_files import packaged_providers, preset_names
from llmfan.measures import metrics
from llmfan.measures.accumulate import Accumulator, Tally
from llmfan.records import AttemptLine, ErrorInfo, ResultLine, ResultUsage
from llmfan.settings import Kind

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8") if (ROOT / "README.md").exists() else ""
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def in_code(word: str) -> bool:
    """Whether README.md has the word in `code`, alone or among others (`-o DIR`); not in its examples alone."""
    spans = (span for line in README.splitlines() for span in line.split("`")[1::2])
    return any(re.search(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", span) for span in spans)


def absent(words: object) -> list[str]:
    assert isinstance(words, list | tuple | set | dict)
    assert words
    return sorted(w for w in words if not in_code(w))


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_option_is_in_the_readme(command: str) -> None:
    """An option nobody can read of is used by nobody, or wrongly."""
    options = {o for p in COMMANDS[command].params for o in (*p.opts, *p.secondary_opts) if o.startswith("-")}
    assert not absent(options - {"--help"})
    assert in_code(f"llmfan {command}")


@pytest.mark.parametrize("place", ["TOP", "DEFAULTS", "PROVIDER", "KEY", "MODEL", "LIMITS", "PRICE"])
def test_every_key_of_the_providers_file_is_in_the_readme(place: str) -> None:
    """The table in the README is the schema's only description in words."""
    assert not absent(getattr(schema, place))


@pytest.mark.parametrize("record", [ResultLine, AttemptLine, ErrorInfo, ResultUsage])
def test_every_field_of_a_line_is_in_the_readme(record: type) -> None:
    """Other programs read these files, and have only the README to go by."""
    assert not absent(record.__struct_fields__)  # type: ignore[attr-defined]


def test_every_figure_of_the_summary_is_in_the_readme() -> None:
    """A figure without its meaning is read as whatever the reader expects."""
    assert not absent(Tally().totals())
    assert not absent(Tally().distributions())
    accumulator = Accumulator()
    accumulator.tally("a", "b", "c")
    assert not absent(accumulator.listing(lambda ident: ident[0])[0])


def test_every_kind_of_error_is_in_the_readme() -> None:
    """A script that looks for an error has to know its word."""
    assert not absent(get_args(Kind))


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 130, 143])
def test_every_exit_code_is_in_the_readme(code: int) -> None:
    """A CI job decides by the exit code alone."""
    assert re.search(rf"^\| `?{code}`? \|", README, re.MULTILINE)


def test_every_preset_is_in_the_readme() -> None:
    """A user looks there first whether a provider is known."""
    assert not absent(preset_names())


def test_the_two_commands_are_in_the_readme_as_they_are() -> None:
    """They are what a newcomer copies, and what a clean machine is tested with."""
    assert "python3 -m pip install . && llmfan run samples/quickstart.jsonl --simulate" in README
    assert "python3 -m pip install -e '.[test]' && python3 -m pytest" in README


def test_every_file_the_readme_names_by_a_link_is_there() -> None:
    """A dead link in the first page read is the first thing found broken."""
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert not [link for link in links if not (ROOT / link).exists()]


def test_the_default_fleet_is_one_file() -> None:
    """Two copies drift apart: the packaged one is built from the one at the top, and none lies in the tree."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included["providers.yaml"] == "llmfan/inputs/providers.yaml"
    assert not (ROOT / "llmfan" / "inputs" / "providers.yaml").exists()
    assert Path(packaged_providers()).read_bytes() == (ROOT / "providers.yaml").read_bytes()


def test_the_reference_of_figures_is_the_declaration() -> None:
    """A formula that differs from what is computed is worse than none."""
    for metric in (*metrics.DISTRIBUTIONS, *metrics.TOTALS, *metrics.RUN_TOTALS, *metrics.CLIENT):
        row = f"| `{metric.name}` | {metric.unit or 'number'} | {metric.better or '—'} | {metric.formula} |"
        assert row in README, row


def test_the_graders_are_described_by_what_they_do() -> None:
    """Whoever disputes a grade looks up what was done to the answer."""
    for name, says in NORMALISATION.items():
        assert f"| `{name}` | {says} |" in README


def test_the_ci_jobs_are_yaml_and_their_options_exist() -> None:
    """They are copied as they stand."""
    section = README[README.index("\n## CI\n") : README.index("\n## `llmfan report`")]
    jobs = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)
    assert len(jobs) == 2
    options = {o for p in COMMANDS["run"].params for o in p.opts}
    for job in jobs:
        assert yaml.safe_load(job)
        assert set(re.findall(r"(?<=\s)--[a-z-]+", job)) <= options
        for gate in re.findall(r"--(?:fail|abort)-if '([^']+)'", job):
            assert gate in (ROOT / ".ci" / "run").read_text(), "what is shown is what is run here"

"""`llmfan init`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmfan.cli.version import show_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmfan.inputs.offers import Offer

_GENERAL = "General"


# One option a line, so that it reads as a table.
# fmt: off
def init(
    only: Annotated[list[str] | None, typer.Option("--only", metavar="NAME", help="Only this preset. Repeatable.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every preset, paid ones too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: all free providers, and those whose keys are set.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Where a file is in the way, keep it as a .bak file.")] = False,
    providers: Annotated[str, typer.Option("--providers", "-p", metavar="FILE", envvar="LLMFAN_PROVIDERS", help="Where the providers file goes; .env.example goes beside it.", rich_help_panel=_GENERAL)] = "providers.yaml",
    env_file: Annotated[str | None, typer.Option("--env-file", metavar="FILE", help="Where keys are looked for, beside the environment; default ./.env where there is one.", rich_help_panel=_GENERAL)] = None,
    state: Annotated[str | None, typer.Option("--state", metavar="FILE", envvar="LLMFAN_STATE", help="Not used here.", hidden=True)] = None,
    json_: Annotated[bool, typer.Option("--json", help="What was written as JSON on stdout, and nothing else there.", rich_help_panel=_GENERAL)] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing.", rich_help_panel=_GENERAL)] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say where each key is got.", rich_help_panel=_GENERAL)] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=show_version, rich_help_panel=_GENERAL)] = False,
) -> None:
    # fmt: on
    """Write a providers file and an .env.example to start from. Keys that are set are found; none is written down."""
    from llmfan.cli.new_files import write_new
    from llmfan.inputs.starter import env_text, providers_text

    known, retired = _known(env_file)
    chosen = _chosen(known, retired, only or [], all_, yes)
    examples = [o for o in known if o.preset.status == "local" and o not in chosen]
    example_file = _beside(providers)
    texts = {providers: providers_text(chosen, examples), example_file: env_text(chosen)}
    old = write_new(texts, force=force, may_stay=example_file)
    if json_:
        import msgspec

        document = _document(providers, example_file, chosen, known, retired, old)
        sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
    elif not quiet:
        option = "" if providers == "providers.yaml" else f" -p {providers}"
        option += f" --env-file {env_file}" if env_file else ""
        print("\n".join(_said(providers, example_file, chosen, old, verbose, option)))


def _beside(file: str) -> str:
    if Path(file).name in ("", ".env.example"):
        raise typer.BadParameter(f"expected a name for the providers file, got {file!r}", param_hint="--providers")
    return str(Path(file).with_name(".env.example"))


def _known(env_file: str | None) -> tuple[list[Offer], dict[str, str]]:
    """What can be offered here, and which presets are closed, with why. The default fleet knows the usual models."""
    from llmfan.inputs.config import load_fleet, packaged_providers, preset, preset_names
    from llmfan.inputs.environment import environment
    from llmfan.inputs.offers import offers

    env = environment(env_file, os.environ)
    usual = {p.preset_name: p for p in load_fleet(packaged_providers(), {}, simulate=True).providers}
    presets = {name: usual[name].preset if name in usual else preset(name) for name in preset_names()}
    retired = {name: found.retired for name, found in presets.items() if found.retired}
    return offers(presets.items(), usual, env), retired


def _chosen(known: list[Offer], retired: dict[str, str], only: list[str], all_: bool, yes: bool) -> list[Offer]:
    from llmfan.inputs.offers import named

    if only:
        return named(only, known, retired)
    remote = [offer for offer in known if offer.preset.status != "local"]
    if all_:
        return remote
    if yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return [offer for offer in remote if offer.usual]
    try:
        return _asked(known)
    except KeyboardInterrupt:  # the library would end with 1
        print("\nnothing was written", file=sys.stderr)
        raise typer.Exit(130) from None


def _asked(known: Sequence[Offer]) -> list[Offer]:
    from llmfan.errors import UserError
    from llmfan.inputs.offers import picked

    print("\n".join(_listed(known)), file=sys.stderr)
    while True:
        print("\nNumbers or names, free, all; Enter for those with a *: ", end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
        if not answer:
            raise UserError("nothing was chosen, and nothing was written")
        try:
            return picked(answer, known)
        except UserError as error:
            print(error, file=sys.stderr)


def _listed(known: Sequence[Offer]) -> list[str]:
    """The offers by number, with what each gives for free and where its key is got."""
    from llmfan.inputs.offers import limits_in_short

    rows = [(o.name, limits_in_short(o), _where(o)) for o in known]
    names, limits = (max(len(row[i]) for row in rows) for i in (0, 1))
    lines = ["Which providers? A key is got at the page that stands beside each.", ""]
    for number, (offer, row) in enumerate(zip(known, rows, strict=True), 1):
        star = "*" if offer.usual else " "
        lines.append(f"{number:3}{star} {row[0]:<{names}}  {row[1]:<{limits}}  {row[2]}".rstrip())
    return lines


def _where(offer: Offer) -> str:
    if offer.found:
        return f"{_some(offer.found)} set"
    return "no key needed" if offer.preset.status == "local" else offer.preset.signup.removeprefix("https://")


def _document(
    file: str, example_file: str, chosen: Sequence[Offer], known: Sequence[Offer], retired: dict[str, str], old: dict[str, str]
) -> dict[str, Any]:
    left = [o for o in known if o not in chosen]
    why = {"paid": "paid, and no key of it is set", "local": "a server of one's own; in the file as a comment"}
    skipped = [{"name": o.name, "why": why.get(o.preset.status, "not chosen")} for o in left]
    return {
        "providers_file": file,
        "env_example": example_file,
        "providers": [o.name for o in chosen],
        "keys_found": [name for o in chosen for name in o.found],
        "skipped": skipped + [{"name": name, "why": " ".join(text.split())} for name, text in retired.items()],
        "kept": {path: aside for path, aside in old.items() if aside != path},
        "left": [path for path, aside in old.items() if aside == path],
    }


def _said(file: str, example_file: str, chosen: Sequence[Offer], old: dict[str, str], verbose: bool, option: str) -> list[str]:
    found = [o for o in chosen if o.found]
    keyless = all(o.preset.status == "local" for o in chosen)
    of = f"{len(chosen)} provider{'s' if len(chosen) != 1 else ''}"
    keys = "no key needed" if keyless else f"keys found for {_some([o.name for o in found]) or 'none'}"
    lines = [f"{path} is kept as {aside}" for path, aside in old.items() if aside != path]
    lines.append(f"wrote {file}: {of}, {keys}")
    if old.get(example_file) == example_file:
        lines.append(f"{example_file} is there already, and is left as it was (--force writes it anew)")
    else:
        lines.append(f"wrote {example_file}: the variables and where each key is got")
    if verbose:
        width = max(len(o.name) for o in chosen)
        lines += [f"  {o.name:<{width}}  {_where(o)}" for o in chosen]
    ready = bool(found) or keyless
    if not ready:
        lines.append("next: put a key into .env, or try without any: llmfan run PROMPTS --simulate" + option)
    lines.append(f"{'next' if ready else 'then'}: llmfan probe{option}")
    return lines


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")

"""`--version`, everywhere."""

from __future__ import annotations

import typer


def show_version(asked: bool = True) -> None:
    """Prints the version and ends."""
    if asked:
        from llmfan import __version__

        typer.echo(f"llmfan {__version__}")
        raise typer.Exit

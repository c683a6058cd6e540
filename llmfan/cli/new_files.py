"""Files that are written whole or not at all, together or not at all, and never over another."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from llmfan.errors import UserError


def write_new(texts: Mapping[str, str], *, force: bool, may_stay: str) -> dict[str, str]:
    """Writes every text; gives for each path that was in use the name that its old file has now.

    A path in use is a UserError (2) before anything is written, unless `force` is given: then its old file is renamed.
    The file `may_stay` is no hindrance: if it is there it stays as it is, and is in what is given under its own name.
    """
    there = os.path.lexists(may_stay)
    same = there and _says(may_stay, texts[may_stay])
    stays = same or (there and not force)
    wanted = {path: text for path, text in texts.items() if not (stays and path == may_stay)}
    _check(wanted, [may_stay] if stays and not same else [], force)
    undo: list[Callable[[], None]] = []
    try:
        return {**_write(wanted, force, undo), **({may_stay: may_stay} if stays else {})}
    except BaseException:
        for step in reversed(undo):
            with suppress(OSError):
                step()
        raise


def _check(wanted: Mapping[str, str], others: Sequence[str], force: bool) -> None:
    """`others`: what would be replaced as well, if it comes to that."""
    folders = [path for path in (*wanted, *others) if os.path.isdir(path)]
    if folders:
        raise UserError(f"{folders[0]}: a directory; nothing was written")
    taken = [path for path in wanted if os.path.lexists(path)]
    if taken and not force:
        taken += others
        them = "it as a .bak file" if len(taken) == 1 else "them as .bak files"
        raise UserError(
            f"{' and '.join(taken)}: there already; nothing was written (--force keeps {them} and writes anew)"
        )


@contextmanager
def _named(path: str) -> Iterator[None]:
    """What fails is told by the name the user gave: others that are used on the way mean nothing to anybody."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}; nothing was written") from None


def _says(path: str, text: str) -> bool:
    try:
        return Path(path).read_bytes() == text.encode()
    except OSError:
        return False


def _write(wanted: Mapping[str, str], force: bool, undo: list[Callable[[], None]]) -> dict[str, str]:
    """All texts under names of no account first: what can fail fails before an old file is touched."""
    fresh: dict[str, Path] = {}
    for path, text in wanted.items():
        fresh[path] = Path(path).with_name(f".{Path(path).name}.{os.getpid()}.new")
        with _named(path):
            _fill(fresh[path], text, undo)
    old: dict[str, str] = {}
    for path, temporary in fresh.items():
        with _named(path):
            if force and os.path.lexists(path):
                old[path] = _set_aside(path, undo)
            _put(temporary, path)
        undo.append(partial(os.unlink, path))
    for temporary in fresh.values():
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return old


def _fill(temporary: Path, text: str, undo: list[Callable[[], None]]) -> None:
    with open(temporary, "xb") as file:
        undo.append(partial(temporary.unlink, missing_ok=True))
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def _set_aside(path: str, undo: list[Callable[[], None]]) -> str:
    """Renames what is there to NAME.bak, NAME.bak2, ...: the first that is free."""
    number = 1
    while os.path.lexists(aside := f"{path}.bak{number if number > 1 else ''}"):
        number += 1
    os.rename(path, aside)
    undo.append(partial(os.rename, aside, path))
    return aside


def _put(temporary: Path, path: str) -> None:
    """Under its name in one step, which fails if somebody else has taken it since."""
    try:
        os.link(temporary, path)
    except OSError:
        if os.path.lexists(path):
            raise
        os.rename(temporary, path)  # a file system without links

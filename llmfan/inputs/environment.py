"""Variables: the process's own, `.env` beneath them, and the `$NAME` forms that a providers file may use."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping

from llmfan.errors import UserError

_REFERENCE = re.compile(r"\$(?:\{([A-Za-z_]\w*)(\*?)\}|([A-Za-z_]\w*))(\*?)", re.ASCII)
_EMBEDDED = re.compile(r"\$(?:(\$)|\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))", re.ASCII)
_DIGITS = re.compile(r"(\d+)", re.ASCII)


def environment(env_file: str | None, osenv: Mapping[str, str]) -> dict[str, str]:
    """The env file's variables (`./.env` where there is one and none was named), with the process's over them.

    An empty one of the process counts as unset, so it hides none of the file's.
    """
    if env_file is None:
        env_file = ".env" if os.path.isfile(".env") else ""
    env = _read(env_file) if env_file else {}
    env.update({name: value for name, value in osenv.items() if name not in env or _value(osenv, name)})
    return env


def expand_keys(reference: str, env: Mapping[str, str]) -> list[tuple[str, str | None]] | None:
    """The variables a `$NAME`, `${NAME}` or `$NAME*` stands for, with their values; None if it is no such form.

    A glob takes every set variable that begins with the name, in natural order (`K`, `K_2`, … `K_10`), or stands for
    the bare name if there is none. A variable that is empty counts as unset: CI systems and copied templates leave
    empty ones behind.
    """
    match = _REFERENCE.fullmatch(reference)
    if not match or (match[2] and match[4]):
        return None
    name = match[1] or match[3]
    if not (match[2] or match[4]):
        return [(name, _value(env, name))]
    found = sorted((v for v in env if v.startswith(name) and _value(env, v)), key=lambda v: _natural(v[len(name) :]))
    return [(v, _value(env, v)) for v in found] or [(name, None)]


def fill(text: str, env: Mapping[str, str]) -> tuple[str, list[str]]:
    """`$NAME` and `${NAME}` inside a text replaced (`$$` is a dollar sign); with the names that are not set."""
    missing: list[str] = []

    def value(match: re.Match[str]) -> str:
        if match[1]:
            return "$"
        name = match[2] or match[3]
        found = _value(env, name)
        if found is None:
            missing.append(name)
        return found or ""

    return _EMBEDDED.sub(value, text), missing


def _read(path: str) -> dict[str, str]:
    try:
        with open(path, "rb") as file:
            text = file.read().decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such env file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; save it as UTF-8") from None
    from dotenv import dotenv_values

    # A `$` in a key is a `$`: without interpolation a secret is what stands in the file.
    values = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {name: value for name, value in values.items() if value is not None}


def _value(env: Mapping[str, str], name: str) -> str | None:
    return env.get(name, "").strip() or None


def _natural(suffix: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in _DIGITS.split(suffix)]

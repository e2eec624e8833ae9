"""Settings: frozen pydantic models, filled from a preset, then a TOML file, then the command line.

An unknown key is an error that names the nearest known one; the resolved settings go into the run's record.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from nucleosynth.errors import UserError, unknown_name


class Settings(BaseModel):
    """Base of every component's settings: frozen, no unknown keys, documented field by field."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


S = TypeVar("S", bound=Settings)


def preset(presets: Mapping[str, S], name: str, where: str = "") -> S:
    """The preset of that name.

    Raises:
        UserError: no such preset; the message gives the nearest one.
    """
    if name not in presets:
        raise unknown_name("preset", name, presets, where)
    return presets[name]


def resolve(base: S, changes: Mapping[str, Any], where: str) -> S:
    """`base` with some values changed; nested models take nested tables, or dotted keys ("network.width").

    None is nothing; for a setting that takes no nothing it is the word "none", which may be one of its names.

    Raises:
        UserError: an unknown key (with the nearest known one) or a value of the wrong type or range.
    """
    table = base.model_dump()
    for key, value in changes.items():
        _put(table, type(base), key.split("."), value, where)
    try:
        return type(base).model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        expected, got = _told_apart(first["msg"].removeprefix("Value error, "), first["input"])
        raise UserError(
            f"a bad value for {key!r}" if key else "settings that do not fit together",
            expected=expected,
            got=got,
            where=where,
            mend="see what the setting takes, or leave it out",
        ) from error


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a table.

    Raises:
        UserError: no such file, or not TOML; the message has the line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(
            "no such file",
            expected="a TOML file of settings",
            got="nothing there",
            where=str(path),
            mend="check the path",
        ) from None
    except (ValueError, OSError, RecursionError) as error:
        raise UserError(
            "not a TOML file", expected="TOML", got=str(error), where=str(path), mend="correct the line that is named"
        ) from error


def _told_apart(message: str, given: Any) -> tuple[str, str]:
    """What was expected and what was got: a validator of several settings says the latter in brackets at the end."""
    said = re.fullmatch(r"(.+) \((.+)\)", message)
    if said and isinstance(given, Mapping):
        return said[1], said[2]
    return message, "other values" if isinstance(given, Mapping) else repr(given)


def _put(table: dict[str, Any], model: type[BaseModel], keys: list[str], value: Any, where: str) -> None:
    name, *rest = keys
    if name not in model.model_fields:
        raise unknown_name("setting", name, model.model_fields, where)
    inner = model.model_fields[name].annotation
    part = inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None
    if rest and part:
        _put(table[name], part, rest, value, where)
    elif part and isinstance(value, Mapping):
        for key, piece in value.items():
            _put(table[name], part, key.split("."), piece, where)
    elif rest:
        raise UserError(
            f"{name!r} has no parts",
            expected=f"a value for {name!r}",
            got=".".join(keys),
            where=where,
            mend=f"give {name} a value of its own",
        )
    else:
        table[name] = "none" if value is None and type(None) not in get_args(inner) else value

"""Turn reports, which are frozen dataclasses, into JSON and back, and their classes into schemas.

Fields are JSON's own types, tuples, lists, dicts by text, other such dataclasses, and any of them
or None. What a schema says of a field is what the class's docstring says of it.
"""

import inspect
import json
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PLAIN = {str: "string", bool: "boolean", int: "integer", float: "number"}
_ARGUMENT = re.compile(r"^    (\w+): (.*)$")


def to_json(report: Any) -> str:
    """Return a report as one JSON document, its fields by their names."""
    return json.dumps(asdict(report), indent=2) + "\n"


def read_report_as(kind: type[T], document: object, where: str = "the report") -> T:
    """Make a report of what JSON holds.

    Args:
        kind: the report's class.
        document: what ``json.loads`` returned.
        where: names the document in errors.

    Raises:
        ValueError: if a field is missing, unknown or of another type.
    """
    return cast(T, _read(kind, document, where))


def json_schema(kind: type[Any]) -> dict[str, Any]:
    """Return the JSON Schema of a report's class."""
    definitions: dict[str, Any] = {}
    schema = _object(kind, definitions)
    found = {"$schema": _DIALECT, "title": kind.__name__, **schema}
    return found | ({"$defs": dict(sorted(definitions.items()))} if definitions else {})


def _read(kind: Any, value: object, where: str) -> Any:
    if kind is Any:
        return value
    choices = get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if value is None and types.NoneType in choices:
        return None
    problems = []
    for choice in choices:
        if choice is types.NoneType:
            continue
        try:
            return _read_one(choice, value, where)
        except ValueError as error:
            problems.append(str(error))
    raise ValueError("; ".join(problems))


def _read_one(kind: Any, value: object, where: str) -> Any:
    if is_dataclass(kind):
        return _read_record(kind, value, where)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (tuple, list) and isinstance(value, list):
        kinds = inner if origin is tuple and inner[-1] is not Ellipsis else inner[:1] * len(value)
        if len(kinds) == len(value):
            pairs = enumerate(zip(kinds, value, strict=True))
            return origin(_read(each, one, f"{where}[{place}]") for place, (each, one) in pairs)
    elif origin in (dict, Mapping) and isinstance(value, dict):
        return {name: _read(inner[1], one, f"{where}.{name}") for name, one in value.items()}
    elif kind is float and type(value) in (int, float):
        return float(cast(float, value))
    elif kind in _PLAIN and type(value) is kind:
        return value
    raise ValueError(f"{where} is {value!r}, not {getattr(kind, '__name__', kind)}")


def _read_record(kind: Any, value: object, where: str) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is no object")
    hints, known = get_type_hints(kind), {field.name: field for field in fields(kind)}
    if unknown := sorted(value.keys() - known):
        raise ValueError(f"{where} has an unknown {unknown[0]!r}")
    if lacking := [name for name, field in known.items() if _needed(field) and name not in value]:
        raise ValueError(f"{where} has no {lacking[0]!r}")
    return kind(**{name: _read(hints[name], one, f"{where}.{name}") for name, one in value.items()})


def _needed(field: "Field[Any]") -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _object(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    hints, says = get_type_hints(kind), _documented(kind)
    properties = {}
    for field in fields(kind):
        schema = _schema(hints[field.name], definitions)
        text = says.get(field.name)
        properties[field.name] = {"description": text, **schema} if text else schema
    return {
        "description": (kind.__doc__ or "").strip().partition("\n")[0],
        "type": "object",
        "properties": properties,
        "required": [field.name for field in fields(kind) if _needed(field)],
        "additionalProperties": False,
    }


def _schema(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if kind is Any:
        return {}
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    if kind is types.NoneType:
        return {"type": "null"}
    if is_dataclass(kind):
        name = cast(type, kind).__name__
        if name not in definitions:
            definitions[name] = {}
            definitions[name] = _object(kind, definitions)
        return {"$ref": f"#/$defs/{name}"}
    if isinstance(kind, types.UnionType):
        return {"anyOf": [_schema(each, definitions) for each in get_args(kind)]}
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _schema(inner[1], definitions)}
    if origin is list or inner[-1] is Ellipsis:
        return {"type": "array", "items": _schema(inner[0], definitions)}
    prefix = [_schema(each, definitions) for each in inner]
    return {"type": "array", "prefixItems": prefix, "items": False, "minItems": len(prefix)}


def _documented(kind: Any) -> dict[str, str]:
    """Return what the docstrings of a class, and of those that it extends, say of each field."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        _, _, arguments = inspect.cleandoc(each.__doc__ or "").partition("Args:\n")
        name = ""
        for line in arguments.partition("\n\n")[0].splitlines():
            if match := _ARGUMENT.match(line):
                name, found[match[1]] = match[1], match[2]
            elif name and line.strip():
                found[name] += " " + line.strip()
    return found

"""Whether any finite JSON meets a schema, as far as its references to itself decide. Everything else is llguidance's affair."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

_UNKNOWN = object()


def can_be_met(schema: Any) -> bool:
    """Whether the schema has an instance that ends: one that refers to itself through required parts alone has none.

    The least fixed point of "ends": a value ends if some way to write it ends in all parts that it must have. A reference
    that leads nowhere, and what is malformed, counts as ending; it is the compiler's to refuse.
    """
    targets = {place: _at(schema, place) for place in _references(schema)}
    endless = {place for place, target in targets.items() if target is not _UNKNOWN}
    while ending := {place for place in endless if _ends(targets[place], endless)}:
        endless -= ending
    return _ends(schema, endless)


def _ends(schema: Any, endless: Collection[str]) -> bool:
    """Whether it ends, if these references do not. Without a type a string will do."""
    if not isinstance(schema, Mapping):
        return schema is not False
    if schema.get("$ref") in endless:
        return False
    if not all(_ends(part, endless) for part in _listed(schema, "allOf")):
        return False
    for ways in (_listed(schema, "anyOf"), _listed(schema, "oneOf")):
        if ways and not any(_ends(way, endless) for way in ways):
            return False
    if "const" in schema or "enum" in schema:
        return True
    kinds = _listed(schema, "type") or [schema.get("type")]
    return any(_kind_ends(kind, schema, endless) for kind in kinds)


def _kind_ends(kind: object, schema: Mapping[str, Any], endless: Collection[str]) -> bool:
    if kind == "array":
        fewest = _number(schema, "minItems")
        first = _listed(schema, "prefixItems")
        more = [schema.get("items", True)] if fewest > len(first) else []
        return all(_ends(part, endless) for part in (*first[:fewest], *more))
    if kind == "object":
        known, others = schema.get("properties"), schema.get("additionalProperties", True)
        parts = known if isinstance(known, Mapping) else {}
        others = True if "patternProperties" in schema else others
        return all(_ends(parts.get(name, others), endless) for name in _listed(schema, "required"))
    return True


def _references(schema: Any) -> Iterator[str]:
    """Every "$ref" in it."""
    if isinstance(schema, Mapping):
        if isinstance(place := schema.get("$ref"), str):
            yield place
        for part in schema.values():
            yield from _references(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _references(part)


def _at(schema: Any, place: str) -> Any:
    """What a JSON pointer (RFC 6901) in a fragment leads to."""
    if place != "#" and not place.startswith("#/"):
        return _UNKNOWN
    found = schema
    for step in place.split("/")[1:]:
        key = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        else:
            return _UNKNOWN
    return found


def _listed(schema: Mapping[str, Any], key: str) -> list[Any]:
    value = schema.get(key)
    return value if isinstance(value, list) else []


def _number(schema: Mapping[str, Any], key: str) -> int:
    value = schema.get(key)
    return value if isinstance(value, int) else 0

"""OpenAI's published description of their API, where it is at hand beside the checkout, as a yardstick for field names."""

import gzip
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

FILE = Path(__file__).resolve().parents[3] / "shared" / "data" / "openai_openapi" / "openapi.yaml.gz"


@cache
def description() -> dict[str, Any]:
    """The whole of it; skips the test where it is absent."""
    if not FILE.is_file():
        pytest.skip("OpenAI's description is not beside the checkout")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found: dict[str, Any] = yaml.load(gzip.decompress(FILE.read_bytes()), Loader=loader)
    return found


def validate(found: Any, schema: str, *, without: tuple[str, ...] = ("interconnected_ai",)) -> None:
    """Raise where an answer of ours is not what a schema of theirs says. without: fields that are ours alone."""
    theirs = description()["components"]["schemas"]
    known = set(_properties(theirs[schema], theirs))
    assert set(found) - set(without) <= known, sorted(set(found) - known)
    whole = {"$ref": f"#/components/schemas/{schema}", "components": {"schemas": _json_schemas()}}
    jsonschema.Draft202012Validator(whole).validate(found)


def fields_of(schema: str) -> set[str]:
    """The fields that a request or answer of theirs may have."""
    theirs = description()["components"]["schemas"]
    return set(_properties(theirs[schema], theirs))


@cache
def _json_schemas() -> dict[str, Any]:
    """Their schemas, with OpenAPI's older `nullable` as JSON schema says it."""
    found: dict[str, Any] = _plain(description()["components"]["schemas"])
    return found


def _plain(part: Any) -> Any:
    if isinstance(part, list):
        return [_plain(each) for each in part]
    if not isinstance(part, dict):
        return part
    made = {key: _plain(value) for key, value in part.items() if key not in ("nullable", "discriminator")}
    return {"anyOf": [made, {"type": "null"}]} if part.get("nullable") is True else made


def _properties(schema: Any, known: dict[str, Any]) -> list[str]:
    if "$ref" in schema:
        return _properties(known[schema["$ref"].rsplit("/", 1)[1]], known)
    inner = [
        name
        for part in ("allOf", "anyOf", "oneOf")
        for each in schema.get(part, ())
        for name in _properties(each, known)
    ]
    return [*schema.get("properties", {}), *inner]

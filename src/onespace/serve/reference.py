"""The reference of all routes as one plain page, from the OpenAPI document: no script, nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from typing import Any

HEAD = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>onespace: routes</title>'
    '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
    '<link rel="icon" href="page/icon.svg"><link rel="stylesheet" href="page/base.css">'
    '<link rel="stylesheet" href="page/reference.css"></head><body><main class="reference">'
)


def reference_page(document: dict[str, Any]) -> str:
    """HTML."""
    groups: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tag = operation.get("tags", ["other"])[0]
            groups.setdefault(tag, []).append("".join(_operation(document, path, method, operation)))
    body = "".join(f"<h2>{escape(tag)}</h2>{''.join(several)}" for tag, several in groups.items())
    about = f"<p>{escape(document['info']['description'])} <a href='openapi.json'>openapi.json</a></p>"
    return f"{HEAD}<h1>onespace {escape(document['info']['version'])}</h1>{about}{body}</main></body></html>"


def _operation(document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    said = operation.get("description", operation.get("summary", ""))
    yield f"<section><h3><code>{method.upper()} {escape(path)}</code></h3><p>{escape(said)}</p>"
    fields = [(p["name"], p["schema"], p.get("required", False)) for p in operation.get("parameters", [])]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body is not None:
        schema = _found(document, body)
        needed = schema.get("required", [])
        fields += [(name, one, name in needed) for name, one in schema.get("properties", {}).items()]
    if fields:
        yield "<ul>"
        for name, schema, needed in fields:
            note = schema.get("description", "")
            default = f", default {json.dumps(schema['default'])}" if schema.get("default") is not None else ""
            kind = f"{_kind(document, schema)}{', needed' if needed else default}"
            yield f"<li><code>{escape(name)}</code>: {escape(kind)}{escape(f'. {note}' if note else '')}</li>"
        yield "</ul>"
    yield "</section>"


def _kind(document: dict[str, Any], schema: dict[str, Any]) -> str:
    """A type in words.

    >>> _kind({}, {"anyOf": [{"type": "string"}, {"type": "array", "items": {"enum": ["a", "b"]}}, {"type": "null"}]})
    'string or list of a | b'
    """
    if "$ref" in schema:
        return str(schema["$ref"].rsplit("/", 1)[-1])
    if "anyOf" in schema:
        return " or ".join(_kind(document, one) for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        return f"list of {_kind(document, schema.get('items', {}))}"
    return str(schema.get("type", "anything"))


def _found(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    named: dict[str, Any] = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
    return named

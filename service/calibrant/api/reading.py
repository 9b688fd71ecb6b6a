"""The API documentation as one HTML page, made from the OpenAPI document: no script, no request."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 14px/1.45 ui-monospace, monospace; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid; border-radius: 4px; }
summary { cursor: pointer; padding: .35rem 0; }
summary b { display: inline-block; min-width: 4.5rem; }
section { border-top: 1px solid; margin-top: 1.5rem; }
table { border-collapse: collapse; }
td, th { text-align: left; vertical-align: top; padding: .15rem 1rem .15rem 0; }
"""


@dataclass(frozen=True, slots=True)
class Page:
    """A page, and the policy under which a browser shows it."""

    html: str
    policy: str


@lru_cache(maxsize=1)
def docs_page(document: bytes) -> Page:
    """Return the page of an OpenAPI document."""
    described = json.loads(document)
    info = described["info"]
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{html.escape(info['title'])}: the API</title><style>{_STYLE}</style></head><body>",
        f"<h1>{html.escape(info['title'])} {html.escape(info['version'])}</h1>",
        f"<p>{html.escape(info['description'])}</p>",
        '<p>For tools: <a href="/openapi.json">openapi.json</a>.</p><main>',
        *_sections(described),
        "<section><h2>Schemas</h2>",
        *(_schema(name, one) for name, one in sorted(described["components"]["schemas"].items())),
        "</section></main></body></html>",
    ]
    return Page("\n".join(parts), f"default-src 'none'; style-src 'sha256-{digest}'")


def _sections(described: dict[str, Any]) -> list[str]:
    by_tag: dict[str, list[str]] = {}
    for path, item in sorted(described["paths"].items()):
        for method, operation in item.items():
            tag = (operation.get("tags") or ["more"])[0]
            by_tag.setdefault(tag, []).append(_operation(path, method, operation))
    return [
        f"<section><h2>{html.escape(tag)}</h2>{''.join(found)}</section>"
        for tag, found in sorted(by_tag.items())
    ]


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{html.escape(one['name'])}</code></td><td>{html.escape(one['in'])}</td>"
        f"<td>{html.escape(one.get('description', ''))}</td></tr>"
        for one in operation.get("parameters", [])
    )
    bodies = "".join(
        f"<p>Body: <code>{html.escape(media)}</code> {_link(one.get('schema', {}))}</p>"
        for media, one in operation.get("requestBody", {}).get("content", {}).items()
    )
    answers = "".join(
        f"<tr><td>{html.escape(status)}</td><td>{html.escape(one['description'])}</td></tr>"
        for status, one in sorted(operation.get("responses", {}).items())
    )
    return (
        f"<details><summary><b>{method.upper()}</b> <code>{html.escape(path)}</code> "
        f"{html.escape(operation.get('summary', ''))}</summary>"
        f"<p>{html.escape(operation.get('description', ''))}</p>{bodies}"
        f"<table>{rows}</table><table>{answers}</table></details>"
    )


def _link(schema: dict[str, Any]) -> str:
    name = schema.get("$ref", "").rpartition("/")[2]
    return f'<a href="#{html.escape(name)}">{html.escape(name)}</a>' if name else ""


def _schema(name: str, schema: dict[str, Any]) -> str:
    text = html.escape(json.dumps(schema, indent=1))
    return (
        f'<details id="{html.escape(name)}"><summary><code>{html.escape(name)}</code> '
        f"{html.escape(schema.get('description', ''))}</summary><pre>{text}</pre></details>"
    )

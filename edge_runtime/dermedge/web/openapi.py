"""The JSON API in words that programs read: OpenAPI 3.1."""

from __future__ import annotations

from typing import Any

import dermedge
from dermedge.web.access import cookie_name
from dermedge.web.settings import Settings

_Schema = dict[str, Any]

_TEXT, _NUMBER, _COUNT, _YES = (
    {"type": "string"},
    {"type": "number"},
    {"type": "integer", "minimum": 0},
    {"type": "boolean"},
)
_PROBABILITY = {"type": "number", "minimum": 0, "maximum": 1}
_VERDICTS = ["refer", "clear", "named", "uncertain", "not assessable"]
_PROBLEMS = {
    400: "Not understood.",
    401: "No token, or a wrong one.",
    403: "Asked for by another site.",
    408: "The body took too long.",
    413: "The body is too long.",
    415: "The body is of another type.",
    421: "The Host header names another server.",
    422: "Not a photograph that can be judged.",
    429: "Too many requests.",
    503: "Not at this moment.",
}
_PHOTOGRAPHS = ("image/jpeg", "image/png", "image/webp", "application/octet-stream")
_ALWAYS = (403, 421, 429)  # whatever is asked for


def describe(settings: Settings) -> _Schema:
    """The description of a server with these settings."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "kit camera --web",
            "version": dermedge.__version__,
            "description": "Research software, not a medical device. It does not diagnose.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}, {"session": []}] if settings.token else [],
        "paths": _paths(settings),
        "components": {"schemas": _schemas(), "securitySchemes": _schemes(settings)},
    }


def _paths(settings: Settings) -> _Schema:
    return {
        "/api/last": {
            "get": _operation("The present judgement, the last results, the device.", _json("Last"))
        },
        "/api/diagnose": {
            "post": _operation(
                "Judge one photograph; the answer is that of `kit diagnose --json`.",
                _json("Diagnosis"),
                (400, 408, 413, 415, 422, 503),
                body={
                    "required": True,
                    "description": f"At most {settings.upload_bytes} bytes and "
                    f"{settings.upload_pixels} pixels, within {settings.upload_s:g} s.",
                    "content": {kind: {"schema": {}} for kind in _PHOTOGRAPHS},
                },
            )
        },
        "/api/capture": {
            "post": _operation("Capture the next judged frame.", _json("Asked"), (503,), status=202)
        },
        "/api/focus": {
            "post": _operation(
                "Ask the camera to focus once; standard error says so of a lens that can't.",
                _json("Asked"),
                (503,),
                status=202,
            )
        },
        "/api/stream": {"get": _stream()},
        "/api/session": {"post": _session()},
        "/healthz": {
            "get": _operation("Whether frames are being judged.", _json("Health"), (503,))
        },
        "/metrics": {"get": _operation("For Prometheus.", {"text/plain": {"schema": _TEXT}})},
    }


def _stream() -> _Schema:
    found = _operation(
        "The live picture, without an end: JPEG after JPEG, each a part of its own.",
        {"multipart/x-mixed-replace": {"schema": {}}},
        (400, 503),
    )
    heat = {"name": "heat", "in": "query", "schema": {"type": "boolean", "default": False}}
    return {**found, "parameters": [{**heat, "description": "With the heat map over it."}]}


def _session() -> _Schema:
    found = _operation(
        "A browser's session for the token; sets a cookie.",
        {},
        (400, 401, 408, 413, 415),
        body={"required": True, "content": _json("Token")},
        status=204,
    )
    return {**found, "security": []}


def _operation(
    summary: str,
    content: _Schema,
    problems: tuple[int, ...] = (),
    body: _Schema | None = None,
    status: int = 200,
) -> _Schema:
    refused = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    answers: _Schema = {str(status): {"description": "As asked.", "content": content}}
    for each in sorted({*problems, *_ALWAYS, 401}):
        answers[str(each)] = {"description": _PROBLEMS[each], "content": refused}
    found = {"summary": summary, "responses": answers}
    return {**found, "requestBody": body} if body else found


def _json(name: str) -> _Schema:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _object(optional: _Schema | None = None, open_ended: bool = False, **each: Any) -> _Schema:
    return {
        "type": "object",
        "properties": {**each, **(optional or {})},
        "required": list(each),
        "additionalProperties": open_ended,
    }


def _or_null(schema: _Schema) -> _Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _schemas() -> _Schema:
    basis = {
        "threshold": _PROBABILITY,
        "chosen_for": _TEXT,
        "threshold_by_user": _YES,
        "model": _TEXT,
        "failed_gate": _YES,
        "signature": _TEXT,
    }
    return {
        "Asked": _object(asked=_YES),
        "Diagnosis": _object(
            {"top": {"type": "object", "additionalProperties": _PROBABILITY}},
            image=_TEXT,
            probability=_PROBABILITY,
            decision=_TEXT,
            quality=_TEXT,
            novelty=_or_null(_NUMBER),
            probabilities={"type": "object", "additionalProperties": _PROBABILITY},
            latency_ms=_NUMBER,
            **basis,
        ),
        "Health": _object(status=_TEXT),
        "Judgement": _object(
            frame=_COUNT,
            time={"type": "string", "format": "date-time"},
            verdict={"enum": _VERDICTS},
            decision=_TEXT,
            probability=_or_null(_PROBABILITY),
            quality=_TEXT,
            agreement=_TEXT,
            remark=_TEXT,
            heat_map=_YES,
            heat_map_of=_TEXT,
            latency_ms=_NUMBER,
            age_ms=_NUMBER,
        ),
        "Last": _object(
            notice=_TEXT,
            judgement=_or_null({"$ref": "#/components/schemas/Judgement"}),
            reason=_TEXT,
            results={"type": "array", "items": {"type": "object"}},
            device=_object(
                temperature_c=_or_null(_NUMBER),
                throttled=_or_null(_YES),
                power=_TEXT,
                rate_fps=_NUMBER,
                judged=_COUNT,
                dropped=_COUNT,
                losses=_COUNT,
            ),
        ),
        "Problem": _object(type=_TEXT, title=_TEXT, status={"type": "integer"}, detail=_TEXT),
        "Token": _object(open_ended=True, token=_TEXT),
    }


def _schemes(settings: Settings) -> _Schema:
    return {
        "token": {"type": "http", "scheme": "bearer"},
        "session": {"type": "apiKey", "in": "cookie", "name": cookie_name(settings)},
    }

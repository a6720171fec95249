"""The description is true: of every path, of every answer, under fuzzing."""

from collections import Counter
from collections.abc import Callable

import cv2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.routing import Route

from dermedge.image import RGB
from dermedge.live import Sighting, entry
from dermedge.web.routes import FILES

TOKEN = "a-token-of-the-tests-only"
JSON = "/api/session"  # the only body that a schema says something of
EVERY_CHECK: list[HealthCheck] = list(HealthCheck)  # type: ignore[arg-type]
UNHURRIED = settings(max_examples=25, suppress_health_check=EVERY_CHECK, database=None)


@pytest.fixture
def place(site: Callable, sighting: Sighting, bundle):
    """A site with something to tell; a small body is too large, so that this is tried too."""
    found = site(stale_s=1e6, upload_bytes=200_000)
    found.newest.show(sighting, "this model is unsigned")
    found.newest.tell(entry(sighting, "tests"))
    return found


def described(place) -> dict:
    return place.client().get("/api/openapi.json").json()


def test_it_is_openapi(place):
    validate(described(place))


def test_every_path_is_described_and_no_other(place):
    routes = place.app._app.routes
    served = {
        (route.path, method.lower())
        for route in routes
        if isinstance(route, Route) and route.path not in FILES
        for method in (route.methods or set()) - {"HEAD"}
    }
    paths = described(place)["paths"]
    assert {(path, method) for path in paths for method in paths[path]} == served - {
        ("/api/openapi.json", "get")
    }


@pytest.mark.parametrize("here", [True, False])
def test_every_answer_is_as_described(place, photo: RGB, here: bool):
    if not here:
        place.newest.show_nothing("unplugged")
    png = cv2.imencode(".png", photo)[1].tobytes()
    description = described(place)
    client = place.client()
    image = {"Content-Type": "image/png"}
    answers = [
        ("get", "/api/last", client.get("/api/last")),
        ("get", "/healthz", client.get("/healthz")),
        ("post", "/api/capture", client.post("/api/capture")),
        ("post", "/api/focus", client.post("/api/focus")),
        ("post", "/api/diagnose", client.post("/api/diagnose", content=png, headers=image)),
        ("post", "/api/diagnose", client.post("/api/diagnose", content=b"", headers=image)),
        ("post", "/api/session", client.post("/api/session", content=b"?")),
        ("get", "/api/last", client.get("/api/last", headers={"Host": "evil.example"})),
    ]
    for method, path, answer in answers:
        told = description["paths"][path][method]["responses"][str(answer.status_code)]
        kind = answer.headers["content-type"]
        schema = {
            **told["content"][kind]["schema"],
            "components": description["components"],
        }
        OAS31Validator(schema).validate(answer.json())


def test_the_token_is_described_where_it_is_asked_for(site: Callable):
    open_to_all, closed = (
        site(token=token).client().get("/api/openapi.json").json() for token in ("", TOKEN)
    )
    assert open_to_all["security"] == []
    assert {"token": []} in closed["security"]
    assert TOKEN not in str(closed)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("token", ["", TOKEN])
def test_it_survives_fuzzing(site: Callable, sighting: Sighting, mode: GenerationMode, token: str):
    place = site(stale_s=1e6, upload_bytes=200_000, token=token)
    place.newest.show(sighting, "")
    schema = schemathesis.openapi.from_dict(described(place)).exclude(path="/api/stream")
    schema.app = place.app
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    tried: Counter[str] = Counter()

    base = f"http://127.0.0.1:{place.settings.port}"

    for found in schema.get_all_operations():
        operation = found.ok()  # type: ignore[attr-defined]
        if mode is GenerationMode.NEGATIVE and not (token or operation.path == JSON):
            continue  # nothing about it can be wrong

        @UNHURRIED
        @given(case=operation.as_strategy(mode))
        def fuzz(case: schemathesis.Case) -> None:
            tried[case.path] += 1
            # What no schema says: whether bytes are a photograph.
            but = [positive_data_acceptance] if case.path == "/api/diagnose" else []
            case.call_and_validate(base, headers=headers, excluded_checks=but)

        fuzz()
    assert sum(tried.values()) > 20
    assert place.newest.tally.judged == 1

"""The page, clicked through in a headless Chromium."""

import contextlib
import dataclasses
import hashlib
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from dermedge import heatmap
from dermedge.bundle import Bundle
from dermedge.diagnose import Diagnostician
from dermedge.web.door import Patient
from dermedge.web.preview import Preview
from dermedge.web.routes import STATIC
from dermedge.web.settings import Settings

TOKEN = "a-token-of-the-tests-only"
PHONE: ViewportSize = {"width": 390, "height": 844}
PATIENCE_MS = 60_000
MEANT = ("401", "503", "ERR_INCOMPLETE_CHUNKED_ENCODING")  # what the tests have the browser tell


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no chromium: .ci/run installs it")
        pytest.skip("no chromium")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def focus() -> threading.Event | None:
    """What the camera hears of the page's button: nothing, for it can't focus."""
    return None


@pytest.fixture
def shown(bundle: Bundle, focus: threading.Event | None) -> Iterator[Preview]:
    """The page, served until the tab is closed: a test names it before `tab`."""
    settings = Settings(port=0, token=TOKEN, stale_s=60.0)
    judging = (lambda: Diagnostician(bundle, 1), lambda: bundle.contract)
    with Preview(settings, *judging, focus=focus) as found:
        yield found


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    """A phone's tab; nothing may be asked of another host, and no error may be told."""
    context = browser.new_context(viewport=PHONE)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    asked, told = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    yield page
    context.close()
    assert [url for url in asked if not url.startswith("http://127.0.0.1:")] == []
    assert [url for url in asked if TOKEN in url.partition("#")[0]] == []
    assert [text for text in told if not any(each in text for each in MEANT)] == []


def picture(page: Page) -> str:
    """A digest of the live picture as it is seen."""
    return hashlib.sha256(page.locator("#live").screenshot()).hexdigest()


def changes(page: Page, before: str) -> bool:
    for _ in range(100):
        if picture(page) != before:
            return True
        page.wait_for_timeout(100)
    return False


def capture(page: Page) -> None:
    """Press until a result follows: where the machine stalls the page gives up in between."""
    for _ in range(10):
        page.get_by_role("button", name="Capture").click()
        expect(page.get_by_role("status")).to_have_text(re.compile("Captured|Nothing|no answer"))
        if page.get_by_role("status").inner_text() == "Captured.":
            return
    pytest.fail("nothing was captured")


def test_the_page_is_clicked_through(
    shown: Preview, judge: Diagnostician, film: Callable, tab: Page
):
    with film(shown, judge):
        tab.goto(shown.link)
        expect(tab.locator("#picture")).to_have_attribute("data-state", "here")
        assert tab.url == shown.address  # the token has left the address
        assert TOKEN not in tab.content()
        expect(tab.locator("#decision")).to_have_text(re.compile("refer|clear|uncertain"))
        expect(tab.locator("#probability")).to_have_text(re.compile(r"^[01]\.\d\d$"))
        expect(tab.locator("#quality")).to_have_text("picture: ok")
        expect(tab.locator("#rate")).to_have_text(re.compile(r"\d\.\d / s"))
        expect(tab.locator("#notice")).to_contain_text("not a medical device")
        assert changes(tab, picture(tab))

        tab.get_by_role("switch", name="Heat map").check()
        expect(tab.locator("#live")).to_have_attribute("src", "/api/stream?heat=true")
        expect(tab.locator("#legend")).to_be_visible()
        tab.get_by_role("switch", name="Heat map").uncheck()
        expect(tab.locator("#live")).to_have_attribute("src", "/api/stream")

        expect(tab.locator("#results li")).to_have_count(0)
        capture(tab)
        expect(tab.locator("#results li").first).to_contain_text("web")
        before = tab.locator("#results li").count()
        capture(tab)
        assert tab.locator("#results li").count() > before


def test_without_the_token_nothing_is_shown_and_it_may_be_typed(
    shown: Preview, judge: Diagnostician, film: Callable, tab: Page
):
    with film(shown, judge):
        tab.goto(shown.address)
        expect(tab.get_by_label("Token")).to_be_focused()
        expect(tab.locator("#view")).to_be_hidden()
        tab.keyboard.type("wrong-token-of-the-tests")
        tab.keyboard.press("Enter")
        expect(tab.locator("#entry-error")).to_have_text("this is not the token")
        tab.keyboard.type(TOKEN)
        tab.keyboard.press("Enter")
        expect(tab.locator("#picture")).to_have_attribute("data-state", "here")
        expect(tab.locator("#entry")).to_be_hidden()
        tab.reload()  # the cookie is enough
        expect(tab.locator("#picture")).to_have_attribute("data-state", "here")


def test_a_camera_that_is_gone_takes_picture_and_judgement_along(
    shown: Preview, judge: Diagnostician, film: Callable, tab: Page
):
    with film(shown, judge):
        tab.goto(shown.link)
        expect(tab.locator("#picture")).to_have_attribute("data-state", "here")
    shown.show_nothing("fake camera was unplugged")
    expect(tab.locator("#away")).to_be_visible()
    expect(tab.locator("#away")).to_contain_text("NO CAMERA")
    expect(tab.locator("#away")).to_contain_text("fake camera was unplugged")
    expect(tab.locator("#live")).not_to_be_visible()
    expect(tab.locator("#decision")).to_have_text("no judgement")
    expect(tab.locator("#probability")).to_have_text("\N{EN DASH}")
    expect(tab.get_by_role("button", name="Capture")).to_be_disabled()


def cut(shown: Preview) -> int:
    """End the connections of the live pictures, and no others, as a tunnel does; how many."""
    held = [
        each
        for each in shown._server._server.server_state.connections.copy()
        if isinstance(each, Patient)
    ]
    found = [
        each
        for each in held
        if each.cycle is not None and not each.cycle.response_complete
        if each.cycle.scope["path"] == "/api/stream"
    ]
    for each in found:
        each.loop.call_soon_threadsafe(each.transport.abort)
    return len(found)


@pytest.mark.parametrize("moving", [True, False])
def test_a_live_picture_that_is_cut_off_comes_back(
    shown: Preview, judge: Diagnostician, sighting, film: Callable, tab: Page, moving: bool
):
    shown.show(sighting)
    with film(shown, judge) if moving else contextlib.nullcontext():
        tab.goto(shown.link)
        for _ in range(2):
            expect(tab.locator("#live")).to_have_js_property("naturalWidth", 640)
            with tab.expect_request("**/api/stream"):
                assert cut(shown) == 1
        expect(tab.locator("#live")).to_have_js_property("naturalWidth", 640)
        expect(tab.locator("#picture")).to_have_attribute("data-state", "here")


def test_a_server_that_is_gone_leaves_no_picture(
    browser: Browser, shown: Preview, judge: Diagnostician, film: Callable
):
    page = browser.new_context().new_page()
    with film(shown, judge):
        page.goto(shown.link)
        expect(page.locator("#picture")).to_have_attribute("data-state", "here")
    shown.close()
    expect(page.locator("#away")).to_contain_text("NO CONNECTION")
    expect(page.locator("#live")).not_to_be_visible()
    for name in ("rate", "latency", "temperature", "power"):
        expect(page.locator(f"#{name}")).to_have_text("\N{EN DASH}")
    page.context.close()


def test_what_is_out_of_the_ordinary_is_seen(shown: Preview, sighting, tab: Page, bundle: Bundle):
    remark = "threshold 0.300 set by the user; this model failed its gate; this model is unsigned"
    shown.show(sighting, remark)
    shown.tell(
        {
            "time": "2026-01-01T00:00:00+00:00",
            "frame": 1,
            "decision": "<b>refer</b>",
            "probability": 0.5,
            "quality": "<img src=x>",
            "signature": "unsigned",
            "failed_gate": True,
            "threshold_by_user": True,
        }
    )
    tab.goto(shown.link)
    expect(tab.get_by_role("note")).to_have_text(remark)
    line = tab.locator("#results li")
    expect(line).to_contain_text("<b>refer</b>")  # text, never markup
    expect(line).to_contain_text("<img src=x>")
    expect(line).to_contain_text("unsigned model")
    expect(line).to_contain_text("failed its gate")


def test_a_loop_that_captures_nothing_on_demand_is_told(shown: Preview, sighting, tab: Page):
    shown.show(sighting)
    tab.goto(shown.link)
    tab.get_by_role("button", name="Capture").click()
    expect(tab.get_by_role("status")).to_contain_text("Nothing was captured")


@pytest.mark.parametrize("name", ["Capture", "Focus"])
def test_an_answer_that_takes_long_is_told_as_such(shown: Preview, sighting, tab: Page, name: str):
    shown.show(sighting)
    held = []  # asked for, and never answered
    tab.route(f"**/api/{name.lower()}", lambda route: held.append(route))
    tab.goto(shown.link)
    tab.get_by_role("button", name=name).click()
    expect(tab.get_by_role("status")).to_have_text("Asked; there is no answer yet.")
    assert len(held) == 1
    if name == "Capture":  # it was passed on all the same
        shown.tell({"time": "2026-01-01T00:00:00+00:00", "frame": 1, "decision": "clear"})
        expect(tab.get_by_role("status")).to_have_text("Captured.")


@pytest.mark.parametrize("focus", [threading.Event()])
def test_the_camera_is_asked_to_focus(focus: threading.Event, shown: Preview, sighting, tab: Page):
    shown.show(sighting)
    tab.goto(shown.link)
    tab.get_by_role("button", name="Focus").click()
    expect(tab.get_by_role("status")).to_contain_text("Asked to focus")
    assert focus.is_set()
    assert not shown.asked()
    shown.show_nothing("fake camera was unplugged")
    expect(tab.get_by_role("button", name="Focus")).to_be_disabled()


def test_one_picture_is_seen_although_none_follows(shown: Preview, sighting, tab: Page):
    shown.show(sighting)
    tab.goto(shown.link)
    expect(tab.locator("#picture")).to_have_attribute("data-state", "here")
    expect(tab.locator("#live")).to_have_js_property("naturalWidth", 640)
    plain = picture(tab)
    tab.get_by_role("switch", name="Heat map").check()
    assert changes(tab, plain)


def test_a_model_without_a_map_has_no_switch(shown: Preview, sighting, tab: Page, bundle: Bundle):
    seen = sighting.diagnosis
    outputs = dataclasses.replace(seen.outputs, map=None)
    diagnosis = dataclasses.replace(seen, outputs=outputs)
    shown.show(dataclasses.replace(sighting, diagnosis=diagnosis))
    tab.goto(shown.link)
    expect(tab.get_by_role("switch", name="Heat map")).to_be_disabled()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_word_can_be_read(
    browser: Browser, shown: Preview, sighting, scheme: Literal["light", "dark"]
):
    """Contrast of 4.5 to 1 or more: WCAG 2.2, 1.4.3."""
    shown.show(sighting, "this model is unsigned")
    shown.tell({"time": "2026-01-01T00:00:00+00:00", "frame": 1, "decision": "clear"})
    page = browser.new_context(viewport=PHONE, color_scheme=scheme).new_page()
    page.goto(shown.link)
    expect(page.locator("#results li")).to_have_count(1)
    seen = [page.evaluate(CONTRASTS, each) for each in VERDICTS]
    assert [each["poor"] for each in seen] == [[]] * len(VERDICTS)
    assert len({each["colour"] for each in seen}) == len(VERDICTS)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.context.close()


VERDICTS = ("refer", "clear", "named", "uncertain", "none")
# In one piece, for the page itself sets the verdict twice a second.
CONTRASTS = """(verdict) => {
  document.getElementById("verdict").dataset.verdict = verdict;
  const shade = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = shade(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const e of document.querySelectorAll("#view *, footer *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility() || e.disabled) continue;
    const [a, b] = [light(shade(getComputedStyle(e).color)), light(ground(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) poor.push(`${e.tagName} ${e.id} ${e.textContent.trim()}: ${ratio}`);
  }
  return { poor, colour: getComputedStyle(document.getElementById("decision")).color };
}"""


def test_the_files_name_nothing_outside(links: type):
    found = links((STATIC / "index.html").read_text(encoding="utf-8"))
    assert set(found.loads) == {"/icon.svg", "/style.css", "/app.js"}
    for path in STATIC.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        for word in ("http:", "https:", "url(", "@import", "innerHTML", "style=", "eval("):
            assert word not in text, f"{path.name}: {word}"


def test_the_legend_has_the_colours_of_the_map():
    style = (STATIC / "style.css").read_text(encoding="utf-8")
    for colour in (heatmap.AGAINST, heatmap.FOR):
        assert f"rgb({colour[0]} {colour[1]} {colour[2]})" in style


def test_every_element_that_the_script_names_exists():
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    script = (STATIC / "app.js").read_text(encoding="utf-8")
    named = set(re.findall(r'(?:part|show)\("([\w-]+)"', script))
    assert named - set(re.findall(r'id="([\w-]+)"', page)) == set()


def test_the_static_files_are_few_and_small():
    files = list(Path(STATIC).iterdir())
    assert {path.name for path in files} == {"app.js", "icon.svg", "index.html", "style.css"}
    assert sum(path.stat().st_size for path in files) < 40_000

"""The ladder: which rung is chosen, and how all of them are shown."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dermcompress import audit, ladder_page, ladder_plot, ladder_table
from dermcompress.ladder import Climbed, Ladder, Limits, proved
from dermedge import compare, contract, table
from dermedge.bundle import open_bundle
from dermedge.diagnose import Diagnostician
from dermedge.errors import InputError
from dermedge.gate import Gate

PLAN = compare.Plan("all", 1, 2)
NASTY = "<script>alert(1)<&'\".png"
OPEN = Limits()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """24 made-up photographs with attributes, one of them ill-named."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(3)
    rows = []
    for i in range(24):
        pixels = np.clip(random.normal(random.normal(130, 40, 3), 10, (80, 80, 3)), 0, 255)
        name = NASTY if i == 0 else f"{i:02}.png"
        (folder / name).write_bytes(cv2.imencode(".png", pixels.astype(np.uint8))[1].tobytes())
        attributes = {"sex": ("female", "male")[i // 12]}
        rows.append(
            table.Row(name, ("benign", "malignant")[i % 2], table.MADE_UP, attributes=attributes)
        )
    table.write(rows, folder / table.TABLE)
    return table.read(folder)


@pytest.fixture(scope="module")
def measured(tiny_bundles, photos):
    """Both tiny models, but the full one calls every other pair of photographs positive."""
    full, small = compare.measure([open_bundle(path) for path in tiny_bundles], photos, PLAN)
    said = np.where(np.arange(24) % 4 < 2, 0.7, 0.2)
    said = dataclasses.replace(full.predictions, probabilities=said)
    return dataclasses.replace(full, predictions=said), small


def rung(measured, name, ms, mb, auc=0.8, full=None, failures=()):
    """A rung with these figures."""
    model = dataclasses.replace(
        measured,
        figures=dataclasses.replace(
            measured.figures, auc=dataclasses.replace(measured.figures.auc, value=auc)
        ),
        sizes=dataclasses.replace(measured.sizes, model=round(mb * 1e6)),
        latency=dataclasses.replace(measured.latency, median_ms=ms),
    )
    beside = None if full is None else compare.pair(full.measured, model, PLAN)
    return Climbed(
        name=name,
        title=f"{name}, in one line",
        bundle=Path(f"{name}.kit"),
        macs=3_870_000_000,
        parameters=25_600_000,
        zeros=0.0,
        comparison=beside,
        measured=model,
        ranking=None if beside is None else beside.difference,
        failures=tuple(failures),
        opset={"tflite-runtime 2.14": ["FULLY_CONNECTED 12"] if full is None else []},
        speeds={"ai-edge-litert 2.3": ms},
    )


@pytest.fixture(scope="module")
def full(measured):
    return rung(measured[0], "float", 100.0, 94.0, 0.85)


@pytest.fixture(scope="module")
def climbed(measured, full):
    """Five rungs: two that pass, one too slow, two that fail."""
    small = measured[1]
    return (
        full,
        rung(small, "float16", 101.0, 47.0, 0.85, full),
        rung(small, "ptq", 40.0, 24.0, 0.79, full, ["its AUC may be lower by more than 0.02"]),
        rung(small, "slim", 20.0, 7.5, 0.84, full),
        rung(small, "tiny", 9.0, 2.0, 0.6, full, ["a reason", "and another"]),
    )


@pytest.fixture(scope="module")
def ladder(climbed):
    return Ladder(climbed, Gate(), Limits(40, 8))


@pytest.fixture(scope="module")
def audited(measured, tiny_bundles):
    one, two = (Diagnostician(open_bundle(path), 1) for path in tiny_bundles)
    return audit.audit(measured[0], measured[1], (one, two), most=8)


@pytest.fixture(scope="module")
def flipped(measured, full):
    """A rung that decides the other way wherever it can."""
    said = measured[1].predictions
    before = measured[0].predictions.positive
    turned = dataclasses.replace(said, probabilities=np.where(before, 0.1, 0.9))
    return rung(dataclasses.replace(measured[1], predictions=turned), "turned", 5.0, 1.0, 0.5, full)


figures = st.tuples(
    st.sampled_from([5.0, 10.0, 10.4, 10.6, 20.0, 40.0]),
    st.sampled_from([1.0, 8.0, 30.0]),
    st.sampled_from([0.7, 0.8, 0.85, 0.9]),
    st.sampled_from([-0.02, -0.01, 0.01]),
    st.booleans(),
)
limits = st.builds(
    Limits, st.sampled_from([None, 7.0, 20.0, 90.0]), st.sampled_from([None, 0.5, 8.0])
)


@settings(max_examples=150)
@given(rows=st.lists(figures, min_size=1, max_size=7), held=limits)
def test_best_nearest_and_front_are_those_of_a_search_over_all(measured, full, rows, held):
    first = rung(measured[1], "one", 1.0, 1.0, 0.8, full)
    rungs = [full]
    assert first.ranking is not None
    for i, (ms, mb, auc, bound, fails) in enumerate(rows):
        model = rung(measured[1], f"r{i}", ms, mb, auc).measured
        interval = dataclasses.replace(first.ranking.interval, low=bound)
        rungs.append(
            dataclasses.replace(
                first,
                name=f"r{i}",
                measured=model,
                ranking=dataclasses.replace(first.ranking, interval=interval),
                failures=("why",) if fails else (),
            )
        )
    found = Ladder(tuple(rungs), Gate(), held)

    def excess(one):
        over = [0.0]
        over += [one.ms / held.max_ms - 1] if held.max_ms else []
        over += [one.mb / held.max_mb - 1] if held.max_mb else []
        return max(over)

    passing = [one for one in rungs[1:] if not one.failures]
    within = [one for one in passing if excess(one) == 0]
    assert [not found.meets(one) for one in passing] == [one in within for one in passing]
    best, near = found.best(), found.nearest()
    assert (best is None) == (not within)
    if best is not None:  # the best proved of those as fast as the fastest, to 5 %
        fast = [one for one in within if one.ms <= 1.05 * min(other.ms for other in within)]
        assert best in fast
        assert proved(best) == max(map(proved, fast))
    assert (near is None) == (not passing)
    assert near is None or excess(near) == min(map(excess, passing))
    assert (found.refusal() == "") == bool(within)
    front = {
        one.name
        for one in rungs
        if not any(
            other.ms <= one.ms
            and other.auc >= one.auc
            and (other.ms, other.auc) != (one.ms, one.auc)
            for other in rungs
        )
    }
    assert {one.name for one in found.front()} == front
    assert [one.ms for one in found.front()] == sorted(one.ms for one in found.front())


def test_broken_limits_and_the_nearest_rung_are_said_in_words(climbed):
    slow = Ladder(climbed, Gate(), Limits(12.34, 5))
    assert slow.meets(climbed[3]) == ("20.0 ms, at most 12.34", "7.5 MB, at most 5")
    assert slow.best() is None
    assert slow.refusal() == (
        "no rung passes the gate and keeps the limits; the nearest is slim: 20.0 ms, at most "
        "12.34; 7.5 MB, at most 5. Within the limits, but failing the gate: tiny."
    )


def test_without_a_rung_that_passes_every_reason_is_named(climbed):
    none = Ladder((climbed[0], climbed[2], climbed[4]), Gate(), OPEN)
    assert none.nearest() is None
    assert none.refusal() == (
        "no rung passes the gate:\n  ptq: its AUC may be lower by more than 0.02\n"
        "  tiny: a reason; and another"
    )


@pytest.mark.parametrize(
    ("rungs", "held", "settled"),
    [
        ((2, 4), OPEN, False),  # both fail the gate
        ((2, 3), OPEN, True),  # one passes
        ((2, 3), Limits(max_ms=5), True),  # it passes and is too slow
        ((2, 4), Limits(max_ms=20), False),  # one is too slow, the other fails the gate alone
        ((2, 4), Limits(max_ms=5), True),  # both are too slow, and fail the gate
    ],
)
def test_more_is_worth_a_try_only_where_the_gate_alone_is_in_the_way(climbed, rungs, held, settled):
    found = Ladder((climbed[0], *(climbed[at] for at in rungs)), Gate(), held)
    assert found.settled() is settled


def test_the_full_model_is_never_chosen(climbed):
    assert Ladder((climbed[0], climbed[4]), Gate(), OPEN).best() is None


def test_rungs_that_cannot_be_compared_are_refused(climbed):
    for rungs in ((), climbed[:1], climbed[1:], (climbed[1], climbed[0]), (*climbed, climbed[0])):
        with pytest.raises(InputError, match="the full model as the first rung"):
            Ladder(rungs, Gate(), OPEN)


def test_the_json_is_whole(ladder):
    data = json.loads(json.dumps(ladder.as_dict(), allow_nan=False))
    assert (data["best"], data["refusal"]) == ("slim", "")
    assert data["front"] == ["tiny", "slim", "float"]
    assert data["rungs"][0]["auc_difference"] is None
    assert data["rungs"][3]["median_ms"] == {"ai-edge-litert 2.3": 20.0}
    assert data["made_up"]
    assert data["device"]["cpu"]


def test_the_table_has_an_aligned_line_for_each_rung_and_the_reasons_beneath(ladder):
    lines = ladder_table.to_text(ladder).splitlines()
    assert [line.split()[0] for line in lines[1:6]] == ["float", "float16", "ptq", "slim", "tiny"]
    assert len({line.index(line.split("  ")[-1].strip()) for line in lines[1:6]}) == 1
    assert lines[1].endswith("full model")
    assert lines[2].endswith("passes (beyond the limits)")
    assert lines[4].endswith("chosen")
    assert "\u00d7 5.00" in lines[4]
    assert "3.87 G" in lines[4]
    assert lines[6] == ""
    assert lines[7] == "float16: 101.0 ms, at most 40"
    assert lines[-1] == "tiny: and another"


@pytest.mark.parametrize(
    ("value", "text"), [(812, "812"), (25_557_032, "25.6 M"), (3.87e9, "3.87 G"), (9500, "9.5 k")]
)
def test_counts_are_short(value, text):
    assert ladder_table.count(value) == text


def test_the_page_asks_for_nothing_outside_of_itself(climbed, flipped, audited, links):
    ladder = Ladder((*climbed, flipped), Gate(), OPEN)
    page = ladder_page.render(ladder, flipped, audited)
    found = links(page)
    assert all(value.startswith(("#", "data:image/jpeg;base64,")) for value in found.loads)
    assert not {"script", "link", "iframe", "object"} & set(found.tags)
    assert found.tags.count("img") == 24
    assert not re.findall(r"url\((?!#)", page.replace('"', ""))
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_page_says_what_everybody_comes_for(ladder, climbed, audited):
    page = ladder_page.render(ladder, climbed[3], audited)
    for text in (
        "not a medical device",
        "made-up",
        "slim may stand in for the full model: 5.0 times as fast, 7.5 MB instead of 94.0 MB",
        "and another",
        "lacks FULLY_CONNECTED 12",
        "knows every operation",
        "not evaluated: the table does not state it",
        "jpeg compression",
        "McNemar",
        ladder.setting.device.system,
    ):
        assert text in page
    assert page.index("not a medical device") < page.index("<h1>")


def test_without_flips_it_says_so(measured, full):
    same = rung(measured[0], "same", 50.0, 47.0, 0.85, full)
    page = ladder_page.render(Ladder((full, same), Gate(), OPEN), same, None)
    assert "No picture changed sides." in page
    assert "Audit of" not in page


def test_at_most_twelve_flips_of_each_direction_are_shown_the_new_errors_first(flipped):
    found = ladder_page.directions(flipped)
    assert sum(len(one.pictures) + one.hidden for one in found) == 24
    assert all(len(one.pictures) <= 12 for one in found)
    for one in found:
        lost = "yes" if one.title.endswith("negative") else "no"
        order = [picture["positive"] == lost for picture in one.pictures]
        assert order == sorted(order, reverse=True)


def test_a_rung_that_is_shown_though_it_fails_is_marked(ladder, climbed):
    page = ladder_page.render(ladder, climbed[4], None)
    assert "tiny fails the gate." in page


def test_names_stand_beside_their_dots_without_overlap(measured, full, monkeypatch):
    placed = []
    place = ladder_plot._place
    monkeypatch.setattr(ladder_plot, "_place", lambda *a: placed.append(place(*a)) or placed[-1])
    near = [
        rung(measured[1], f"rung number {i}", 20.0 + 0.3 * i, 8.0, 0.8 + 0.001 * i, full)
        for i in range(9)
    ]
    element = ElementTree.fromstring(ladder_plot.pareto(Ladder((full, *near), Gate(), OPEN)))
    assert len(placed) == 10
    for i, box in enumerate(placed):
        assert not any(box.overlaps(other) for other in placed[:i])
    texts = "".join(element.itertext())
    assert "rung number 8" in texts
    assert "made-up" in texts


def test_models_without_positive_classes_are_shown_by_accuracy(tiny_bundles, photos):
    opened = []
    for path in tiny_bundles:
        whole = open_bundle(path)
        labels = tuple(dataclasses.replace(x, positive=False) for x in whole.contract.labels)
        rule = contract.Decision({"accuracy>=0.90": 0.5}, "accuracy>=0.90", (0.0, 0.5))
        terms = dataclasses.replace(whole.contract, labels=labels, decision=rule)
        opened.append(dataclasses.replace(whole, contract=terms))
    first, second = compare.measure(opened, photos, PLAN)
    full = rung(first, "float", 100.0, 94.0)
    found = Ladder((full, rung(second, "int8", 50.0, 24.0, 0.8, full)), Gate(), OPEN)
    one, two = (Diagnostician(one, 1) for one in opened)
    parts = audit.audit(first, second, (one, two), most=6)
    page = ladder_page.render(found, found.small[0], parts)
    assert "none of them positive" in page
    assert "accuracy at most" in page
    assert "Accuracy" in ladder_table.headings(found)


def test_both_files_are_written(ladder, climbed, audited, tmp_path):
    page = ladder_page.write(ladder, tmp_path / "out", climbed[3], audited)
    data = json.loads((page.parent / ladder_page.FIGURES).read_text())
    assert data["audit"]["stress"]["n"] == 8
    assert page.name == "ladder.html"


def test_chromium_shows_the_page_without_a_network(climbed, flipped, audited, tmp_path, links):
    chromium = shutil.which("chromium")
    if chromium is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no chromium: .ci/run installs it")
        pytest.skip("no chromium")
    ladder = Ladder((*climbed, flipped), Gate(), OPEN)
    page = ladder_page.write(ladder, tmp_path / "out", flipped, audited)
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--dump-dom"]
    offline = ["--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND"]
    shown = subprocess.run(
        [chromium, *flags, *offline, f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    tags = links(shown).tags
    assert (tags.count("svg"), tags.count("img")) == (1, 24)
    assert "not a medical device" in shown

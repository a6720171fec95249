import dataclasses
import os
import re
import shutil
import subprocess
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from dermedge import atomic, compare, page, plots, report, summary, table
from dermedge.bundle import open_bundle
from dermedge.errors import MissingError, StorageError

NASTY = "<script>alert(1)<&'\".png"
PLOTS = (plots.roc, plots.scatter, plots.reliability, plots.latency)


@pytest.fixture(scope="module")
def found(tiny_bundles, tmp_path_factory):
    """A comparison of the tiny bundles on 16 made-up photographs, one of them ill-named."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(3)
    rows = []
    for i in range(16):
        pixels = np.clip(rng.normal(rng.normal(130, 40, 3), 10, (80, 80, 3)), 0, 255)
        name = NASTY if i == 0 else f"{i:02}.png"
        (folder / name).write_bytes(cv2.imencode(".png", pixels.astype(np.uint8))[1].tobytes())
        rows.append(table.Row(name, ("benign", "malignant")[i % 2], table.MADE_UP))
    table.write(rows, folder / table.TABLE)
    full, small = (open_bundle(path) for path in tiny_bundles)
    return compare.compare(full, small, table.read(folder), compare.Plan("all", 1, 3))


@pytest.fixture(scope="module")
def flipped(found):
    """The same, but the small model decides the other way wherever it can."""
    said = found.small.predictions
    before = found.full.predictions.positive
    turned = dataclasses.replace(said, probabilities=np.where(before, 0.1, 0.9))
    small = dataclasses.replace(found.small, predictions=turned)
    agreement = dataclasses.replace(
        found.agreement, to_negative=int(before.sum()), to_positive=int((~before).sum())
    )
    return dataclasses.replace(found, small=small, agreement=agreement)


@pytest.fixture(scope="module")
def real(found):
    """The same, as if nothing were made up."""
    return dataclasses.replace(found, setting=dataclasses.replace(found.setting, made_up=""))


def test_the_page_asks_for_nothing_outside_of_itself(flipped, links):
    page = report.render(flipped, 0.02)
    found = links(page)
    assert all(value.startswith("#") for value in found.loads)
    assert not {"script", "link", "iframe", "img", "object"} & set(found.tags)
    assert not re.findall(r"url\((?!#)", page.replace('"', ""))
    assert "@import" not in page


def test_a_malicious_file_name_is_only_text(flipped):
    page = report.render(flipped)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_made_up_is_said_on_top_and_in_every_plot(found):
    page = report.render(found)
    assert "made-up" in page[page.index("<body>") : page.index("<h1>")]
    assert "made-up" in page[: page.index("</title>")]
    for draw in PLOTS:
        text = "".join(ElementTree.fromstring(draw(found)).itertext())
        assert "made-up photographs" in text


def test_made_up_is_not_said_of_what_is_not(real):
    page = report.render(real)
    assert "made-up" not in page
    assert 'class="banner"' not in page


def test_every_plot_is_well_formed_and_scales_with_the_page(found):
    seen = set()
    for draw in PLOTS:
        root = ElementTree.fromstring(draw(found))
        assert root.get("viewBox")
        assert root.get("width") is None
        assert root.get("aria-label")
        ids = [element.get("id") or "" for element in root.iter()]
        # Groups are named by matplotlib; what `url(#…)` points to must differ between plots.
        clips = {name for name in ids if re.fullmatch(r"p[0-9a-f]{10}", name)}
        assert clips
        assert not clips & seen  # ids of several plots share one page
        seen |= clips


def test_the_page_carries_notice_machine_provenance_and_figures(real):
    page = report.render(real)
    for text in (
        "not a medical device",
        real.setting.device.system,
        real.full.sha256,
        real.small.latency.runtime,
        f"{real.full.figures.auc.value:.3f}",
        "random pixels",
    ):
        assert text in page


@pytest.mark.parametrize(
    ("margin", "words", "style"),
    [
        (None, "No margin was asked for", 'class="verdict "'),
        (1.0, "The small model may stand in", 'class="verdict good"'),
        (0.0, "The small model may not stand in", 'class="verdict bad"'),
    ],
)
def test_the_verdict_is_in_plain_words(found, margin, words, style):
    bounds = dataclasses.replace(found.difference.interval, low=-0.05)
    difference = dataclasses.replace(found.difference, interval=bounds)
    page = report.render(dataclasses.replace(found, difference=difference), margin)
    assert words in page
    assert style in page


def test_lost_positives_are_counted_and_listed_first(flipped):
    page = report.render(flipped)
    lost = int((flipped.full.predictions.positive & flipped.full.predictions.labels).sum())
    assert (f"loses {lost}</strong>" in page) == bool(lost)
    rows = re.findall(r'<td class="name">[^<]*\.png</td><td>(\w+)</td>', page)
    assert len(rows) == 16
    assert rows == sorted(rows, reverse=True)


def test_no_flip_is_said_in_words(found):
    twin = dataclasses.replace(found, small=found.full)
    assert "<p>None.</p>" in report.render(twin)


def test_without_jinja2_the_error_names_the_extra(found, monkeypatch, tmp_path):
    monkeypatch.setattr(page, "find_spec", lambda name: None)
    with pytest.raises(MissingError, match=r"pip install 'dermkit\[report\]'"):
        report.write(found, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_nothing_half_written(found, monkeypatch, tmp_path):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        report.write(found, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0314, "+0.031"), (-0.0314, "\u22120.031"), (-0.0001, "0.000"), (0.0, "0.000")],
)
def test_signed_numbers_have_no_negative_zero(value, text):
    assert summary.signed(value) == text


def test_sizes_are_given_in_fitting_units():
    assert (summary.size(94_211_004), summary.size(3412)) == ("94.2 MB", "3.4 kB")


def test_chromium_shows_the_page_without_a_network(found, tmp_path, links):
    chromium = shutil.which("chromium")
    if chromium is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no chromium: .ci/run installs it")
        pytest.skip("no chromium")
    page = report.write(found, tmp_path / "report", None)
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
    assert tags.count("svg") == len(PLOTS)
    assert "not a medical device" in shown
    assert NASTY not in shown

"""What models give for photographs: as the runtime gives it, asked once, whole or not at all."""

from pathlib import Path

import numpy as np
import pytest

from dermcompress.scored import score
from dermedge.bundle import Bundle, open_bundle
from dermedge.errors import BundleError
from dermedge.model import Classifier, Outputs

ROWS = np.array([5, 0, 3])


@pytest.fixture
def pixels(watched: Bundle) -> np.ndarray:
    side = watched.contract.input.height
    return np.random.default_rng(0).integers(0, 256, (6, side, side, 3), np.uint8)


def classifier(bundle: Bundle) -> Classifier:
    return Classifier(bundle.model, bundle.contract, 1)


def test_it_is_what_the_runtime_gives_in_the_order_of_the_rows(
    watched: Bundle, pixels: np.ndarray, tmp_path: Path
) -> None:
    told: list[tuple] = []
    found = score(
        classifier(watched), pixels, ROWS, tmp_path / "kept", lambda *each: told.append(each)
    )
    each = [classifier(watched).run(pixels[row : row + 1]) for row in ROWS]
    np.testing.assert_array_equal(found.scores, [one.scores for one in each])
    np.testing.assert_array_equal(found.embeddings, [one.embedding for one in each])
    assert told == [("scoring", done, 3) for done in (1, 2, 3)]


def test_what_is_kept_is_found_and_nobody_asked_again(
    watched: Bundle, pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = score(classifier(watched), pixels, ROWS, tmp_path / "kept")
    monkeypatch.setattr(Classifier, "run", lambda *_: pytest.fail("asked again"))
    again = score(classifier(watched), pixels, ROWS, tmp_path / "kept")
    np.testing.assert_array_equal(again.scores, first.scores)
    np.testing.assert_array_equal(again.embeddings, first.embeddings)
    assert (again.scores.dtype, again.embeddings.dtype) == (np.float32, np.float32)


def test_a_model_without_embedding_gives_none(
    tiny_bundles: tuple[Path, Path], pixels: np.ndarray, tmp_path: Path
) -> None:
    found = score(classifier(open_bundle(tiny_bundles[0])), pixels, ROWS, tmp_path / "kept")
    assert found.scores.shape == (3, 2)
    assert found.embeddings.shape == (0, 0)


def test_a_failure_in_the_middle_keeps_nothing(
    watched: Bundle, pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, calls = Classifier.run, iter(range(9))

    def failing(self: Classifier, prepared: np.ndarray) -> Outputs:
        if next(calls) == 2:
            raise BundleError("it can't")
        return run(self, prepared)

    monkeypatch.setattr(Classifier, "run", failing)
    with pytest.raises(BundleError, match="it can't"):
        score(classifier(watched), pixels, ROWS, tmp_path / "kept")
    assert not list(tmp_path.iterdir())

"""`kit evaluate BUNDLE`: photographs unlike the training ones count as on a device."""

from pathlib import Path

import cv2
import numpy as np

from dermedge.bundle import Bundle
from dermedge.diagnose import Diagnostician
from dermedge.predictions import predict
from dermedge.table import Row, Table
from dermtrain.evaluation import judge


def test_the_full_report_and_the_device_find_the_same_photographs_unlike(
    watched: Bundle, spot: np.ndarray, strange: np.ndarray, tmp_path: Path
) -> None:
    dark = cv2.resize(strange // 255, (48, 48))  # fails the quality gate too
    for name, image in (("a.png", spot), ("b.png", strange), ("c.png", dark)):
        cv2.imwrite(str(tmp_path / name), image[..., ::-1])
    rows = (Row("a.png", "benign"), Row("b.png", "malignant"), Row("c.png", "malignant"))
    table = Table(tmp_path / "t.csv", tmp_path, rows)
    found = judge.predict(judge.of_bundle(watched.path, 1), table)
    expected = predict(Diagnostician(watched, 1), table)
    assert found.quality == expected.quality
    assert found.decisions == expected.decisions
    assert found.quality[0] == "ok"
    assert found.quality[1].startswith("unlike")
    assert found.quality[2].startswith("too small")
    assert found.not_assessable == 2

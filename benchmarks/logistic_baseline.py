"""The yardstick of docs/results.md: logistic regression on frozen, pooled conv4 features.

    python benchmarks/logistic_baseline.py RUN --weights PATH

Same photographs, same split, no network trained: what the full model must not fall behind.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import tf_keras as keras
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dermedge import metrics
from dermtrain import backbone, weights
from dermtrain.dataset import prepare_table, targets
from dermtrain.features import predict
from dermtrain.run import open_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--weights", required=True)
    given = parser.parse_args()

    run = open_run(given.run)
    table = run.table()
    side = run.contract.input.height
    model = backbone.build(side, 2)
    weights.fill(model, given.weights)
    conv4 = backbone.below(model, backbone.boundary_below(model, "conv5"))
    pooled = keras.Model(conv4.input, keras.layers.GlobalAveragePooling2D()(conv4.output))
    with tempfile.TemporaryDirectory() as cache:
        pixels = prepare_table(table, run.contract.input, Path(cache))
        features = predict(pooled, pixels.values, np.arange(len(table.rows)))
    names = tuple(label.name for label in run.contract.labels)
    positive = np.isin(targets(table, names), run.contract.positive)
    train, val, test = (pixels.rows(name) for name in ("train", "val", "test"))

    def solved(strength: float):
        regression = LogisticRegression(C=strength, class_weight="balanced", max_iter=2000)
        return make_pipeline(StandardScaler(), regression).fit(features[train], positive[train])

    def auc(strength: float) -> float:
        return metrics.auc(positive[val], solved(strength).decision_function(features[val]))

    best = max(np.geomspace(1e-5, 1, 11), key=auc)  # chosen on validation, as the kit chooses
    for name, strength in (("C chosen on validation", best), ("C = 1", 1.0)):
        found = metrics.auc_interval(
            positive[test], solved(strength).decision_function(features[test])
        )
        low, high = f"{found.low:.3f}", f"{found.high:.3f}"
        print(f"{name} ({strength:.1e}): test AUC {found.value:.3f} ({low} to {high})")


if __name__ == "__main__":
    main()

"""The members of the blend, for classes and for numbers, by the settings."""

import zlib

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import settings as s

SEED = zlib.crc32(b"seed")


def count(logarithm):
    return int(np.ceil(np.exp(logarithm)))


def linear(numbers, strength):
    if numbers:
        return Ridge(alpha=np.exp(-strength))
    return LogisticRegression(C=np.exp(strength))


def members(numbers, rows, columns):
    """Pairs of a logarithmic weight and a model; `numbers`: the answer is a number, not a class."""
    neighbours = KNeighborsRegressor if numbers else KNeighborsClassifier
    forest = ExtraTreesRegressor if numbers else ExtraTreesClassifier
    boosting = HistGradientBoostingRegressor if numbers else HistGradientBoostingClassifier
    kernel = Nystroem(
        gamma=np.exp(s.KERNEL_WIDTH) / columns,
        n_components=min(rows, count(s.KERNEL_CENTRES)),
        random_state=SEED,
    )
    return [
        (s.MEAN_WEIGHT, DummyRegressor() if numbers else DummyClassifier(strategy="prior")),
        (s.LINEAR_WEIGHT, linear(numbers, s.LINEAR_STRENGTH)),
        (s.NEIGHBOURS_WEIGHT, neighbours(min(rows, count(s.NEIGHBOURS)))),
        (
            s.FOREST_WEIGHT,
            forest(count(s.FOREST_TREES), min_samples_leaf=count(s.FOREST_LEAF), random_state=SEED),
        ),
        (
            s.BOOSTING_WEIGHT,
            boosting(
                max_iter=count(s.BOOSTING_ROUNDS),
                learning_rate=np.exp(s.BOOSTING_RATE),
                min_samples_leaf=count(s.BOOSTING_LEAF),
                random_state=SEED,
            ),
        ),
        (s.KERNEL_WEIGHT, make_pipeline(kernel, linear(numbers, s.KERNEL_STRENGTH))),
    ]


def blend(train, labels, test, numbers):
    """Predictions for `test`: a number for each row, or a probability for each row and class."""
    if numbers:
        middle, spread = labels.mean(), labels.std() or True
        return middle + spread * _blend(train, (labels - middle) / spread, test, numbers)
    return _blend(train, labels, test, numbers)


def _blend(train, labels, test, numbers):
    chosen = np.random.default_rng(SEED).permutation(len(train))[: count(s.NEIGHBOURS_ROWS)]
    found = members(numbers, len(chosen), train.shape[-1])
    weights = np.exp([weight for weight, _ in found])
    total = False
    for weight, (_, model) in zip(weights / weights.sum(), found):
        whole = make_pipeline(SimpleImputer(), StandardScaler(), model)
        few = isinstance(model, (KNeighborsClassifier, KNeighborsRegressor))
        rows = chosen if few else slice(None)
        whole.fit(train[rows], labels[rows])
        guess = whole.predict(test) if numbers else whole.predict_proba(test)
        total = total + weight * guess
    return total

"""What the blend in `solve.py` is made of. Everything is a natural logarithm: 0.0 is one, 2.3 is ten.

A member's share of the blend is exp(WEIGHT) against the others'. The mean of the training labels is a member
too: it keeps probabilities away from 0 and 1.
"""

MEAN_WEIGHT = 3.3

LINEAR_WEIGHT = 4.0
LINEAR_STRENGTH = -2.0

NEIGHBOURS_WEIGHT = 3.0
NEIGHBOURS = 3.5
NEIGHBOURS_ROWS = 10.0

FOREST_WEIGHT = 3.5
FOREST_TREES = 3.5
FOREST_LEAF = 2.5

BOOSTING_WEIGHT = 2.0
BOOSTING_ROUNDS = 3.5
BOOSTING_RATE = -3.0
BOOSTING_LEAF = 3.0

KERNEL_WEIGHT = 1.0
KERNEL_CENTRES = 4.0
KERNEL_WIDTH = -1.5
KERNEL_STRENGTH = -1.0

# EVOLVE-BLOCK-START
SCALE = 2.0


def sample(seed):
    return [SCALE * seed, SCALE]


# EVOLVE-BLOCK-END


def run_experiment(seed):
    values = sample(seed)
    return values, sum(values)

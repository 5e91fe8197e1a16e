"""Best fit: the bin that will have the least left."""


def choose(item, free):
    fitting = [(left, index) for index, left in enumerate(free) if left >= item]
    return min(fitting)[1] if fitting else -1

"""Online bin packing: into which open bin an item goes."""


def choose(item, free):
    """The index of the bin for `item`, or -1 for a new one.

    item: size of the item, 1 to 100; free: what is left in each open bin, oldest first. Bins hold
    100. Bins that are too full for the item may not be chosen.
    """
    for index, left in enumerate(free):
        if left >= item:
            return index
    return -1

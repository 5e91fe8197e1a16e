"""Where is the function highest?"""

# EVOLVE-BLOCK-START
X = 1.0


def search():
    return X
# EVOLVE-BLOCK-END


def run_search():
    return search()

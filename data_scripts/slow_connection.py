"""The connection on which the pages must open fast: a slow phone's, as web developers simulate it."""

MEGABITS_PER_SECOND, DELAY = 1.6, 150  # download; milliseconds
BYTES_PER_SECOND = MEGABITS_PER_SECOND * 1e6 / 8
UNTIL_TEXT, UNTIL_LOADED = 3, 8  # seconds that a page may take

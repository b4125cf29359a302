"""How often one may fail: counted a key (an address, a name) in this process's memory, forgiven with time. Pure but for the clock."""

import time
from collections import OrderedDict
from collections.abc import Callable

from api.errors import TooManyError

MOST_KEYS = 20_000
LONGEST_KEY = 400
"""Characters; more than any name with its address has. What is longer counts with its like, or names of 64 KiB would fill the memory."""


class Limit:
    """`most` at once, and as many again in each `window_s`. A key costs one number; the longest unused gives way.

    That number is the instant at which all is forgiven (the generic cell rate algorithm of ATM, ITU-T I.371).
    """

    def __init__(self, most: int, window_s: float, sentence: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._step_s = window_s / most
        self._window_s = window_s
        self._sentence = sentence
        self._clock = clock
        self._clean_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._clean_at)

    def read_wait_s(self, key: str) -> float:
        """Seconds until one more would be let through; 0 when it would be now."""
        clean_at = max(self._clean_at.get(key[:LONGEST_KEY], 0.0), self._clock())
        return max(0.0, clean_at + self._step_s - self._clock() - self._window_s)

    def check(self, key: str) -> None:
        """Raises TooManyError where one more would be too many; counts nothing."""
        wait_s = self.read_wait_s(key)
        if wait_s > 0:
            raise TooManyError(self._sentence, wait_s)

    def count(self, key: str) -> None:
        """One more, whatever the limit says."""
        key = key[:LONGEST_KEY]
        self._clean_at[key] = max(self._clean_at.pop(key, 0.0), self._clock()) + self._step_s
        if len(self._clean_at) > MOST_KEYS:
            self._clean_at.popitem(last=False)

    def forgive(self, key: str) -> None:
        """Takes one back."""
        key = key[:LONGEST_KEY]
        if key in self._clean_at:
            self._clean_at[key] -= self._step_s

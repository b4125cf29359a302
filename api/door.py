"""How often people may ask for a seat and guess its PIN or an access code, by address and by email. A valid first request is never refused.

A whole class sits behind one address, so only guesses that fail and floods count.
"""

from dataclasses import replace

from api.address import household, is_loopback
from api.limits import Limit
from store.assignment import Claim

WINDOW_S = 900.0
MOST_FROM_ONE = 5  # wrong PINs for one email from one address
MOST_OF_EMAIL = 20  # from wherever
MOST_OF_ADDRESS = 50  # for whichever email
FLOOD, FLOOD_S = 3000, 30.0  # two clicks each of a very large class, and a hundred more each second
MOST_CODES = 50  # wrong access codes from one address
GUESSED = "too many wrong PINs were tried; use the browser that you asked with"


class Door:
    """One for the process."""

    def __init__(self) -> None:
        self._of_both = Limit(MOST_FROM_ONE, WINDOW_S, GUESSED)
        self._of_email = Limit(MOST_OF_EMAIL, WINDOW_S, GUESSED)
        self._of_address = Limit(MOST_OF_ADDRESS, WINDOW_S, GUESSED)
        self._codes = Limit(MOST_CODES, WINDOW_S, "too many wrong access codes came from this address")
        self._floods = Limit(FLOOD, FLOOD_S, "too many requests came from this address")

    def enter(self, address: str) -> None:
        """Raises TooManyError in a flood. Of loopback nobody knows who is behind it."""
        if not is_loopback(address):
            self._floods.check(household(address))
            self._floods.count(household(address))

    def check_guess(self, email: str, address: str) -> None:
        """Raises TooManyError where another PIN must not be tried; else this one counts as wrong until `forgive`."""
        for limit, key in self._keys(email, address):
            limit.check(key)
        for limit, key in self._keys(email, address):
            limit.count(key)

    def forgive(self, email: str, address: str) -> None:
        """It was right, or there was nothing to guess."""
        for limit, key in self._keys(email, address):
            limit.forgive(key)

    def check_code(self, address: str) -> None:
        """Raises TooManyError where another access code must not be tried."""
        self._codes.check(household(address))

    def count_code(self, address: str) -> None:
        """It was wrong."""
        self._codes.count(household(address))

    def _keys(self, email: str, address: str) -> tuple[tuple[Limit, str], ...]:
        home = household(address)
        return (self._of_both, f"{email}\0{home}"), (self._of_email, email), (self._of_address, home)


def take_as_wish(claim: Claim) -> Claim:
    """The claim whose PIN is what a new seat gets, and proves no old one."""
    return replace(claim, pin=None, drawn_pin=claim.pin or claim.drawn_pin)

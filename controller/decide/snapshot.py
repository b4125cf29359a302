"""The input of a decision. It is defined with the nouns, because `store.state` makes it."""

from schemas.snapshot import Listing, Snapshot

__all__ = ["Listing", "Snapshot"]

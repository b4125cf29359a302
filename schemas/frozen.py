"""The base of every noun: an immutable pydantic model that refuses unknown fields."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """Immutable, hashable where its fields are, closed to unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

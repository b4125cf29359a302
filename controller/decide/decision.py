"""The output of a decision. It is defined with the nouns, because `store.fleet` writes it and the API shows it."""

from schemas.decision import (
    Action,
    AdoptVm,
    CreateVm,
    Decision,
    EndBase,
    EndInstance,
    EndVm,
    Held,
    Judgement,
    MarkGone,
    MarkLost,
    PoolOutlook,
    RecordInstance,
    StartVm,
)

__all__ = [
    "Action",
    "AdoptVm",
    "CreateVm",
    "Decision",
    "EndBase",
    "EndInstance",
    "EndVm",
    "Held",
    "Judgement",
    "MarkGone",
    "MarkLost",
    "PoolOutlook",
    "RecordInstance",
    "StartVm",
]

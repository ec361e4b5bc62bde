"""What every checkpointer must do: one story for each sentence of the contract."""

from __future__ import annotations

from clew.testing.contracts.checkpointer_limits import LimitingConcurrency, LimitingRate, LookingAtLimits
from clew.testing.contracts.checkpointer_queue import Asking, Events, FindingWork, Queueing, Renewing, WaitingItsTurn
from clew.testing.contracts.checkpointer_runs import Appending, Beginning, KeepingByHand, Reading


class CheckpointerContract(
    Reading, Beginning, Appending, KeepingByHand, WaitingItsTurn, Queueing, FindingWork, LimitingConcurrency,
    LimitingRate, LookingAtLimits, Asking, Events, Renewing,
):  # fmt: skip
    """The promises of a checkpointer. Derive your tests from it and give a fixture `saver`: an empty checkpointer."""

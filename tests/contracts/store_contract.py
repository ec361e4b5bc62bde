"""The suite of a store, as clew.testing ships it, with what our own tests take from it beside."""

from __future__ import annotations

from clew.testing.contracts import StoreContract
from clew.testing.contracts.given import Clock, Letters, OpenStore, filters, memories

__all__ = ["Clock", "Letters", "OpenStore", "StoreContract", "filters", "memories"]

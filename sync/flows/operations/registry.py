"""Every operation there is, by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from sync.flows.operations.approval import Approve
from sync.flows.operations.base import Operation
from sync.flows.operations.delete import DeleteIssuance, DeleteReceipt
from sync.flows.operations.inventory import PostInventory
from sync.flows.operations.issuance import PostIssuance
from sync.flows.operations.product import CreateProduct
from sync.flows.operations.receipt import PostReceipt
from sync.flows.operations.stock import PatchStock
from sync.flows.operations.transfer import PostTransfer


@cache
def operations() -> Mapping[str, Operation]:
    """Return the operations; they hold no state."""
    every: tuple[Operation, ...] = (
        PostReceipt(),
        PostIssuance(),
        Approve(),
        PatchStock(),
        CreateProduct(),
        PostInventory(),
        PostTransfer(),
        DeleteReceipt(),
        DeleteIssuance(),
    )
    return {operation.name: operation for operation in every}

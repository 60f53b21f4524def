"""Every operation there is, by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from sync.push.operations.approval import Approve
from sync.push.operations.base import Operation
from sync.push.operations.delete import DeleteIssuance, DeleteReceipt
from sync.push.operations.inventory import PostInventory
from sync.push.operations.issuance import PostIssuance
from sync.push.operations.probe import ProbeDelete, ProbePost
from sync.push.operations.product import CreateProduct
from sync.push.operations.receipt import PostReceipt
from sync.push.operations.stock import PatchStock
from sync.push.operations.transfer import PostTransfer


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
        ProbePost(),
        ProbeDelete(),
    )
    return {operation.name: operation for operation in every}

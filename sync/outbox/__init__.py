"""The state machine of pushes, its table, and what our own tables show of them."""

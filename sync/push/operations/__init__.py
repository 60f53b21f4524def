"""What can be pushed: one module per operation, found by name in the registry."""

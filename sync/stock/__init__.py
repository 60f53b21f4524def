"""Levels and costs of items, and the movements that our own patches make."""

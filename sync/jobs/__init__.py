"""Whole passes that use several rooms."""

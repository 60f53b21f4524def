"""Receipts and issuances of MPW, day by day."""

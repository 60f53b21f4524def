"""What is known: entries, documents, coverage, quarantined rows, parked events, items."""

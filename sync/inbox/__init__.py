"""The ERP's door: what it may put in, and taking it in."""

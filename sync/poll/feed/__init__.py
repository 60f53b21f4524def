"""MPservices' two-day feed of movements."""

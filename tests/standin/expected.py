"""What is known to fail until the tracks of the issue have landed: test's name, and why. To be emptied."""

EXPECTED: dict[str, str] = {}

"""What is known to fail: test's name by what it waits for. Empty: everything that the stand-in tries holds."""

EXPECTED: dict[str, list[str]] = {}

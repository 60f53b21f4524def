"""Input that means harm, or means well and is broken: answers, files, settings, rows, names."""

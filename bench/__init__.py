"""Measurements on the code that runs in production; see bench/README.md."""

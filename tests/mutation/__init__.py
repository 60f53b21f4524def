"""Small changes of the pure rules, each of which some test must notice: CONTRIBUTING.md, "Tests that notice"."""

"""What calls a vendor to read."""

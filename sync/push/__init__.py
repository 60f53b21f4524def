"""What calls a vendor to write."""

"""What a job works with: the store, the clocks, the vendors, the right to write."""

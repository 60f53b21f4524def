"""What is missing where, and what people changed since."""

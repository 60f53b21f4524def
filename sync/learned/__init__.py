"""What the vendors do that their documents do not say."""

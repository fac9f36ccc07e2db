"""For a network of one's own."""

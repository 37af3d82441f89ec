"""What is claimed, as programs that print it; the last line of each is one JSON object."""

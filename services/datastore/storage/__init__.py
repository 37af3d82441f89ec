"""Where durable objects are kept: the seam, Valkey, and memory for the test client."""

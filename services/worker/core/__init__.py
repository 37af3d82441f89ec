"""What the worker decides: which inputs to read, what runs next in which lane, what to retry and what to report."""

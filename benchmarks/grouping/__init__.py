"""What correlation groups are worth: one program against everything that a user would do instead of grouping."""

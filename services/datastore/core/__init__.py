"""What a datastore decides: which objects it holds, answers, keeps and lets go. Pure."""

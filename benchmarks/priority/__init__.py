"""Two priorities on a full device: what prediction and scheduling are worth."""

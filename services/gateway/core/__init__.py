"""The gateway's decisions: admission, deadlines, storing and exactly one outcome per event. Pure."""

"""Real tracks in, collision alerts out: the example that Covey's main job is measured on."""

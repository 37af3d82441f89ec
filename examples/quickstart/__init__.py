"""The first pipeline to read: two stages, no model, under 40 lines."""

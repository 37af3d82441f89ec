"""The live mesh beside its simulation."""

"""Generated from protos/covey/v1 by `make proto`, committed, never edited."""

"""What an oracle raises."""


class Violation(AssertionError):
    """A promise of the mesh is broken."""

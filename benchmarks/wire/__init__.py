"""What the mesh adds to a model's own time, against the floor that gRPC sets and against what a user would pick."""

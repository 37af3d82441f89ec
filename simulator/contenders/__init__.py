"""What ours is compared with on shared devices: predictors, and policies of priority, each in a file.

Each is written from its paper or its published code, as its file says, and sees what ours sees.
"""

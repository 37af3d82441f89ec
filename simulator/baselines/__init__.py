"""What we compare ourselves with, each in a file: `modes` of placing data and tasks; provisioners and batchers.

A provisioner or batcher is written from its paper or its published code, as its file says, and sees what ours sees.
"""

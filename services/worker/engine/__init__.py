"""What runs stages: threads on a CPU, streams on a CUDA device, or an emulation of one."""

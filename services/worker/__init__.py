"""The worker: runs the stages of one device. It prefetches grouped objects, computes, emits objects and reports.

The only service that needs torch.
"""

"""The four services of the mesh, one folder each, with the same rooms in every one.

They never import one another: they meet on the wire, in the messages of `covey.messages`. The folder stands at the top
of the repository and is imported as `covey.services`, through the link inside `covey/`.
"""

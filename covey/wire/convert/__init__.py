"""Message <-> model, one pair of functions a type: `x_to_wire(x, out)` fills, `x_from_wire(wire)` reads.

Filling in place spares the copies that nested constructors make. Instants become what remains, or has passed, when
the bytes are written (`now` is an argument), and instants again on arrival. Reading raises InvalidArgument for what no
peer of ours would write; a reason that a newer peer may know is read as no reason.
"""

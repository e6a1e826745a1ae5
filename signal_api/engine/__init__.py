"""Where rooms are kept: storage with compare-and-set, and the way of a frame to the node of its session."""

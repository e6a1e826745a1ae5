"""One node and its clients: how they come in, what their frames do, and how they leave."""

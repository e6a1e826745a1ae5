"""Who moves the bytes: one contract, and the engines that keep it."""

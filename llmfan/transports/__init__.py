"""Ways to send a request: the network, and a virtual one."""

"""The gateway beside nginx, HAProxy and Envoy, in front of the same stub."""

"""Where requests go.

table   the routing table: endpoints, their fleets and shares, instances, access keys
choose  the choice of a fleet and an instance among those of an endpoint
"""

"""Departures: aiolimiter's token bucket, used the way it is safe: one acquirer, burst and rate set from outside."""

"""Webhooks: owners' endpoints are told of events, signed, at least once, with retries over three days.

An owner is whoever has endpoints: a brand, by its id. Its deliveries are rows that are written in the
transaction which decides an event; they are the queue too, that workers send from. What a delivery says is
built when it is sent, so nothing personal is kept in it.
"""

"""A client of the live protocol, written from its documents alone.

Nothing here was taken from the engine or its SDKs, so that what passes is what
the documents promise to anyone.
"""

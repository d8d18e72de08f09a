"""Checks a hand-in receipt as docs/receipts.md says, with no help from the engine."""

import base64
import hashlib
import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def verify(receipt):
    """The content of a genuine receipt; raises on any other."""
    content = receipt["content"]
    assert (receipt["alg"], content["format"]) == ("Ed25519", "invigil-receipt-1")
    assert set(receipt) == {"alg", "content", "public_key", "sha256", "signature"}
    signed = canonical(content)
    assert hashlib.sha256(signed).hexdigest() == receipt["sha256"]
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(receipt["public_key"]))
    key.verify(base64.b64decode(receipt["signature"], validate=True), signed)
    return content


def holds(content, answers):
    """Whether the receipt is of exactly these answers (questions never answered aside)."""
    stated = {entry["q"]: entry["value"] for entry in content["answers"]}
    expected = {}
    for q, value in answers.items():
        text = canonical(value)
        if value is None:
            expected[q] = None
        elif len(text) > 1024:
            expected[q] = "sha256:" + hashlib.sha256(text).hexdigest()
        else:
            expected[q] = text.decode()
    return stated == expected

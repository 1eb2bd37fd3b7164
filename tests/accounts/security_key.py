"""A security key in software: what a browser and a key say together (WebAuthn level 2)."""

import hashlib
import json
import secrets

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from fido2 import cbor
from fido2.utils import websafe_encode

PRESENT, VERIFIED, WITH_KEY = 0x01, 0x04, 0x40


class SecurityKey:
    def __init__(self, origin, rp_id):
        self.origin, self.rp_id = origin, rp_id
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.id = secrets.token_bytes(32)
        self.counter = 0

    def _client_data(self, kind, challenge):
        data = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(data).encode()

    def _authenticator_data(self, flags, more=b""):
        self.counter += 1
        hashed = hashlib.sha256(self.rp_id.encode()).digest()
        return hashed + bytes([flags]) + self.counter.to_bytes(4, "big") + more

    def create(self, options):
        """The answer to navigator.credentials.create, as the page posts it."""
        numbers = self.private.public_key().public_numbers()
        public = {
            1: 2,  # EC2
            3: -7,  # ES256
            -1: 1,  # P-256
            -2: numbers.x.to_bytes(32, "big"),
            -3: numbers.y.to_bytes(32, "big"),
        }
        credential = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + cbor.encode(public)
        data = self._authenticator_data(PRESENT | VERIFIED | WITH_KEY, credential)
        attestation = cbor.encode({"fmt": "none", "attStmt": {}, "authData": data})
        client_data = self._client_data("webauthn.create", options["publicKey"]["challenge"])
        return self._posted(clientDataJSON=client_data, attestationObject=attestation)

    def get(self, options):
        """The answer to navigator.credentials.get."""
        data = self._authenticator_data(PRESENT | VERIFIED)
        client_data = self._client_data("webauthn.get", options["publicKey"]["challenge"])
        signed = data + hashlib.sha256(client_data).digest()
        return self._posted(
            clientDataJSON=client_data,
            authenticatorData=data,
            signature=self.private.sign(signed, ec.ECDSA(SHA256())),
        )

    def _posted(self, **response):
        return json.dumps(
            {
                "type": "public-key",
                "id": websafe_encode(self.id),
                "rawId": websafe_encode(self.id),
                "clientExtensionResults": {},
                "response": {name: websafe_encode(value) for name, value in response.items()},
            }
        )

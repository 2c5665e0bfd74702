"""Sends one job with sealed credentials and prints its reply.

Needs `pip install pika 'cryptography>=47'`, a running worker, AMQP_URL, and the worker's public key in SEALING_KEY.
"""

import base64
import json
import os
import uuid

import pika
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

HUBSPOT = "cc6a4487-9e91-433e-a3a3-9cf6626c1806"


def seal(params, job, connection_spec_id, public_key):
    """What stands in `auth.sealed`: it opens in this job alone."""
    bound_to = [job["jobId"], job["imsOrgId"], job["sandboxName"], connection_spec_id]
    info = "\n".join(["connection-worker sealed params v1", *bound_to])
    key = X25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(public_key + "="))
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
    sealed = suite.encrypt(json.dumps(params).encode(), key, info=info.encode())
    return {"publicKey": public_key, "ciphertext": base64.urlsafe_b64encode(sealed).decode()}


job = {"jobId": str(uuid.uuid4()), "imsOrgId": "1234@AdobeOrg", "sandboxName": "dev", "source": "hubspot"}
params = {"clientId": "…", "clientSecret": "…", "accessToken": "…", "refreshToken": "…"}
sealed = seal(params, job, HUBSPOT, os.environ["SEALING_KEY"])
job["connection"] = {"name": "connection for HubSpot", "auth": {"sealed": sealed}}

connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = connection.channel()
channel.confirm_delivery()
replies = channel.queue_declare("", exclusive=True).method.queue
channel.basic_publish(
    exchange="",
    routing_key=os.environ.get("JOB_QUEUE", "connections.jobs"),
    body=json.dumps(job),
    properties=pika.BasicProperties(content_type="application/json", delivery_mode=2, reply_to=replies),
    mandatory=True,
)
for _, _, reply in channel.consume(replies, auto_ack=True):
    print(reply.decode())
    break
connection.close()

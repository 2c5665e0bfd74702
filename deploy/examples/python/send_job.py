"""Sends one job and prints its reply. Needs `pip install pika`, a running worker, and AMQP_URL."""

import json
import os
import uuid

import pika

job = {
    "jobId": str(uuid.uuid4()),
    "imsOrgId": "1234@AdobeOrg",
    "sandboxName": "dev",
    "source": "hubspot",
    "connection": {
        "name": "connection for HubSpot",
        "auth": {"params": {"clientId": "…", "clientSecret": "…", "accessToken": "…", "refreshToken": "…"}},
    },
}

connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = connection.channel()
channel.confirm_delivery()  # publishing now fails if the job did not reach a queue
replies = channel.queue_declare("", exclusive=True).method.queue
channel.basic_publish(
    exchange="",
    routing_key=os.environ.get("JOB_QUEUE", "connections.jobs"),
    body=json.dumps(job),
    properties=pika.BasicProperties(
        content_type="application/json", delivery_mode=2, reply_to=replies, correlation_id=job["jobId"]
    ),
    mandatory=True,
)
for _, properties, reply in channel.consume(replies, auto_ack=True):
    if properties.correlation_id == job["jobId"]:
        print(reply.decode())
        break
connection.close()

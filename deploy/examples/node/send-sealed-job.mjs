// Sends one job with sealed credentials and prints its reply.
//
// Needs `npm install amqplib @hpke/core`, a running worker, AMQP_URL, and the worker's public key in SEALING_KEY.

import { randomUUID } from "node:crypto";
import { Aes128Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";
import amqp from "amqplib";

const HUBSPOT = "cc6a4487-9e91-433e-a3a3-9cf6626c1806";
const bytes = (text) => new TextEncoder().encode(text);

/** What stands in `auth.sealed`: it opens in this job alone. */
async function seal(params, job, connectionSpecId, publicKey) {
  const boundTo = [job.jobId, job.imsOrgId, job.sandboxName, connectionSpecId];
  const info = bytes(["connection-worker sealed params v1", ...boundTo].join("\n"));
  const suite = new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes128Gcm() });
  const recipientPublicKey = await suite.kem.deserializePublicKey(Buffer.from(publicKey, "base64url"));
  const { enc, ct } = await suite.seal({ recipientPublicKey, info }, bytes(JSON.stringify(params)));
  return { publicKey, ciphertext: Buffer.concat([Buffer.from(enc), Buffer.from(ct)]).toString("base64url") };
}

const job = { jobId: randomUUID(), imsOrgId: "1234@AdobeOrg", sandboxName: "dev", source: "hubspot" };
const params = { clientId: "…", clientSecret: "…", accessToken: "…", refreshToken: "…" };
const sealed = await seal(params, job, HUBSPOT, process.env.SEALING_KEY);
job.connection = { name: "connection for HubSpot", auth: { sealed } };

const connection = await amqp.connect(process.env.AMQP_URL);
const channel = await connection.createConfirmChannel();
const { queue: replies } = await channel.assertQueue("", { exclusive: true });
const reply = new Promise((resolve, reject) => {
  channel.on("return", () => reject(new Error("the job did not reach a queue")));
  channel.consume(replies, (message) => message && resolve(message.content.toString()), { noAck: true });
});
channel.sendToQueue(process.env.JOB_QUEUE ?? "connections.jobs", Buffer.from(JSON.stringify(job)), {
  contentType: "application/json", persistent: true, replyTo: replies, mandatory: true,
});
await channel.waitForConfirms();
console.log(await reply);
await connection.close();

// Sends one job and prints its reply. Needs `npm install amqplib`, a running worker, and AMQP_URL.

import { randomUUID } from "node:crypto";
import amqp from "amqplib";

const job = {
  jobId: randomUUID(),
  imsOrgId: "1234@AdobeOrg",
  sandboxName: "dev",
  source: "hubspot",
  connection: {
    name: "connection for HubSpot",
    auth: { params: { clientId: "…", clientSecret: "…", accessToken: "…", refreshToken: "…" } },
  },
};

const connection = await amqp.connect(process.env.AMQP_URL);
const channel = await connection.createConfirmChannel();
const { queue: replies } = await channel.assertQueue("", { exclusive: true });
const reply = new Promise((resolve, reject) => {
  channel.on("return", () => reject(new Error("the job did not reach a queue")));
  const take = (message) => message?.properties.correlationId === job.jobId && resolve(message.content.toString());
  channel.consume(replies, take, { noAck: true });
});
channel.sendToQueue(process.env.JOB_QUEUE ?? "connections.jobs", Buffer.from(JSON.stringify(job)), {
  contentType: "application/json", persistent: true, replyTo: replies, correlationId: job.jobId, mandatory: true,
});
await channel.waitForConfirms();
console.log(await reply);
await connection.close();

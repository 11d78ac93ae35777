// Prints the events of one instance, a line of JSON each, from any position on and then as they happen.
//
//   THEKE_DOWNSTREAM=nats://i1:…@127.0.0.1:23456 node follow.js [STREAM] [POSITION]
//
// STREAM is EVT_pos unless it is said otherwise; POSITION is the first one wanted, 1 for everything that is kept.
import { DeliverPolicy, jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";

const [stream = "EVT_pos", first = "1"] = process.argv.slice(2);
const url = new URL(process.env.THEKE_DOWNSTREAM ?? "");

const connection = await connect({
  servers: url.host,
  user: url.username,
  pass: url.password,
  name: "theke-example",
  maxReconnectAttempts: -1,
});

// An ordered consumer is made by the client and made again after a loss, behind what was read last.
let next = Number(first);
const consumer = await jetstream(connection).consumers.get(stream, {
  deliver_policy: DeliverPolicy.StartSequence,
  opt_start_seq: next,
});

for await (const message of await consumer.consume()) {
  if (message.seq < next) continue;
  next = message.seq + 1;
  const event = message.json();
  console.log(JSON.stringify({ position: event.position, type: event.type, id: event.id, time: event.time, number: event.number }));
}

// Sends events to Covey on one stream and prints their outcomes as they come, one line of JSON each.
//
//     node client.js 127.0.0.1:7700 100
//
// The pipeline is examples/quickstart. Nothing is generated: the contract is read from the repository's protos.

import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";
import { decode, encode } from "@msgpack/msgpack";

const [address = "127.0.0.1:7700", count = "10"] = process.argv.slice(2);
const deadlineSeconds = 5;

const protos = fileURLToPath(new URL("../../../protos", import.meta.url));
const contract = protoLoader.loadSync("covey/v1/gateway.proto", {
  includeDirs: [protos],
  defaults: true,
  enums: String,
  longs: Number,
});
const { GatewayService } = grpc.loadPackageDefinition(contract).covey.v1;
const gateway = new GatewayService(address, grpc.credentials.createInsecure());

function reading(minute) {
  const degrees = minute % 10 === 9 ? 40.5 : 21.5; // every tenth reading departs from what is usual
  return {
    pipeline: "quickstart",
    id: `kitchen-${minute}-${process.pid}`, // sent again under the same id, it would count once
    key: `/readings/kitchen/${minute}`,
    payload: Buffer.from(encode(degrees)),
    deadlineUs: deadlineSeconds * 1e6,
  };
}

function print(outcome) {
  const { status, reason, message } = outcome.verdict ?? {};
  const results = outcome.results.map(({ ref, payload }) => ({ key: ref.key, value: decode(payload) }));
  const ok = status === undefined || status === "STATUS_UNSPECIFIED"; // gRPC's OK is 0
  console.log(JSON.stringify({ id: outcome.eventId, ...(ok ? { status: "OK", results } : { status, reason, message }) }));
}

const events = Array.from({ length: Number(count) }, (_, minute) => reading(minute));
const waiting = new Set(events.map((event) => event.id));

// The call outlives the events' deadline a little, so that a gateway that is gone is an error and never a hang.
const stream = gateway.Stream({ deadline: Date.now() + (deadlineSeconds + 5) * 1000 });
stream.on("data", ({ outcomes }) => {
  for (const outcome of outcomes) {
    waiting.delete(outcome.eventId);
    print(outcome);
  }
  if (waiting.size === 0) stream.end();
});
stream.on("error", (error) => {
  console.error(`${waiting.size} events have no outcome: ${error.message}`);
  process.exitCode = 1;
  gateway.close();
});
stream.on("end", () => gateway.close());

for (let first = 0; first < events.length; first += 16) {
  stream.write({ events: events.slice(first, first + 16) }); // a message may carry many events
}

// The official parsers, as a peer for the tests: `node parsers.mjs`.
//
// It reads requests from its standard input as JSON lines and answers each with a JSON line, in
// order, until the input ends. Frames are base64 behind a `t` for text or a `b` for binary. JSON
// stands in strings, so that nothing is lost on the way; binary content in it is
// `{"$bytes":BASE64}`. Where a request has `json`, a list of JSON texts, the answer has them as
// `JSON.stringify` writes them, null for what is not JSON.

import { decodePacket, decodePayload, encodePacket, encodePayload } from "engine.io-parser";
import { Decoder, Encoder, PacketType } from "socket.io-parser";

const read = (frame) => {
  const bytes = Buffer.from(frame.slice(1), "base64");
  return frame[0] === "t" ? bytes.toString("utf8") : bytes;
};
const write = (data) =>
  typeof data === "string"
    ? "t" + Buffer.from(data, "utf8").toString("base64")
    : "b" + Buffer.from(data).toString("base64");

const stringify = (value) =>
  JSON.stringify(value, function (key, it) {
    return Buffer.isBuffer(this[key]) ? { $bytes: this[key].toString("base64") } : it;
  });
const parse = (json) =>
  JSON.parse(json, (_, it) =>
    typeof it?.$bytes === "string" ? Buffer.from(it.$bytes, "base64") : it,
  );
const normal = (json) => {
  try {
    return JSON.stringify(JSON.parse(json));
  } catch {
    return null;
  }
};

/** What is left of `value` as text: itself, or its JSON where Rust cannot hold it as a string. */
const words = (value) =>
  typeof value === "string" && value.isWellFormed() ? value : (JSON.stringify(value) ?? "");

/** An Engine.IO packet as `{kind, data}`. */
const engineReading = ({ type, data }) => ({ kind: type, data: write(data ?? "") });

/** A Socket.IO packet as `{kind, namespace, id, name, data}`. */
function socketReading({ type, nsp, id, data }) {
  const reading = { kind: PacketType[type], namespace: nsp, id: id === undefined ? null : String(id) };
  if (data === undefined) {
    return reading;
  }
  switch (type) {
    case PacketType.EVENT:
      return { ...reading, name: words(data[0]), data: stringify(data.slice(1)) };
    case PacketType.CONNECT_ERROR: {
      const { message, data: more } = typeof data === "string" ? { message: data } : data;
      return { ...reading, name: words(message ?? ""), data: stringify(more ?? undefined) };
    }
    default:
      return { ...reading, data: stringify(data) };
  }
}

/** The content of an attachment, by its number. */
const attachment = (number) => Buffer.alloc(number % 4, number);

const tasks = {
  /** Reads a frame of a WebSocket. */
  "engine.io packet": {
    decode: ({ frame }) => engineResult([decodePacket(read(frame))]),
    encode: ({ packets }) => ({
      frames: packets.map(({ kind, data }) => {
        let frame;
        encodePacket({ type: kind, data: read(data) }, true, (it) => (frame = write(it)));
        return frame;
      }),
    }),
  },
  /** Reads a body, whose bytes become text as an HTTP server makes text of them. */
  "engine.io payload": {
    decode: ({ frame }) => engineResult(decodePayload(read(frame).toString("utf8"))),
    encode: ({ packets }) => {
      let body;
      const all = packets.map(({ kind, data }) => ({ type: kind, data: read(data) }));
      encodePayload(all, (it) => (body = write(it)));
      return { frames: [body] };
    },
  },
  "socket.io packet": {
    /** Reads a text, and as many attachments as it announces. */
    decode: ({ frame }) => {
      const decoder = new Decoder();
      const packets = [];
      decoder.on("decoded", (packet) => packets.push(socketReading(packet)));
      decoder.add(read(frame));
      for (let number = 0; decoder.reconstructor; number += 1) {
        decoder.add(attachment(number));
      }
      return { packets };
    },
    encode: ({ packet: { type, nsp, id, data } }) => {
      const packet = { type: PacketType[type], nsp, id, data: data && parse(data) };
      return { frames: new Encoder().encode(packet).map(write) };
    },
  },
  "socket.io frames": {
    /** Reads one frame after another, to the first that is refused, and says what came of each. */
    decode: ({ frames }) => {
      const decoder = new Decoder();
      const steps = [];
      try {
        for (const frame of frames) {
          let packet = null;
          decoder.once("decoded", (it) => (packet = socketReading(it)));
          decoder.add(read(frame));
          decoder.off("decoded");
          steps.push(packet);
        }
      } catch (error) {
        return { steps, error: error.message };
      }
      return { steps };
    },
  },
  json: { normalise: () => ({}) },
};

function engineResult(packets) {
  const error = packets.find(({ type }) => type === "error");
  return error ? { error: error.data } : { packets: packets.map(engineReading) };
}

function answer(line) {
  const request = JSON.parse(line);
  const json = request.json?.map(normal);
  try {
    return { json, ...tasks[request.parser][request.do](request) };
  } catch (error) {
    return { json, error: error.message };
  }
}

let pending = "";
process.stdin.setEncoding("utf8").on("data", (chunk) => {
  const lines = (pending + chunk).split("\n");
  pending = lines.pop();
  if (lines.length > 0) {
    process.stdout.write(lines.map((line) => JSON.stringify(answer(line)) + "\n").join(""));
  }
});

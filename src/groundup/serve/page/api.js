// Requests to the server: the key, errors in words, server-sent events.
let key = sessionStorage.getItem("groundup-key") ?? "";

export const hasKey = () => key !== "";

export function setKey(value) {
  sessionStorage.setItem("groundup-key", (key = value));
}

/** An answer of the server's that is no success. `status` is HTTP's. */
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function call(path, options = {}) {
  const headers = { "Content-Type": "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  const response = await fetch(path, { ...options, headers });
  if (response.ok) return response;
  const { error } = await response.json().catch(() => ({}));
  throw new Refused(response.status, error?.message ?? `the server answered with status ${response.status}`);
}

const post = (path, body, signal) => call(path, { method: "POST", body: JSON.stringify(body), signal });

/** {data: [{id}], groundup: {introduction, samples, documents}} */
export const models = async () => (await call("v1/models")).json();

export const healthy = () => fetch("health").then((response) => response.ok, () => false);

/** Tokens of the messages, and of the model's context: {count, max_model_len}. */
export const tokenize = async (model, messages, signal) => (await post("tokenize", { model, messages }, signal)).json();

/** The training documents nearest to an answer. */
export const where = async (model, question, answer) =>
  (await (await post("where", { model, question, answer })).json()).documents;

/** The chunks of one answer; an error where the stream ends early. */
export async function* stream(body, signal) {
  const options = { stream: true, stream_options: { include_usage: true } };
  const response = await post("v1/chat/completions", { ...body, ...options }, signal);
  for await (const data of events(response.body)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Refused(200, chunk.error.message);
    yield chunk;
  }
  throw new Error("the connection ended before the answer did");
}

/** The data of each server-sent event. A read may end inside a line, even inside a character. */
async function* events(stream) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (let done = false; !done; ) {
    const read = await reader.read();
    done = read.done;
    const lines = (rest + decoder.decode(read.value, { stream: !done })).split(/\r\n|\n|\r/);
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data:")) yield line.slice(5).trim();
  }
}
